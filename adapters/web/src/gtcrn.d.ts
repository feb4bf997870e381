/** Streaming speech enhancement (GTCRN) in the browser and in Node. */

/** 0 leaves the signal as it is, 1 is the enhanced signal alone; "auto" chooses it every 16 ms. Default: 0.8. */
export type Strength = number | "auto";

/** Why the engine refused something. */
export class GtcrnError extends Error {}

/** The engine and its weights. */
export interface Model {
  readonly wasm: Uint8Array;
  readonly weights: Uint8Array;
}

/** Returns why this host cannot run the engine, or "" if it can. */
export function whyUnsupported(): string;

/**
 * Loads the engine, by default with the weights inside this file.
 *
 * @param options.weights bytes written by `python -m gtcrn_frontend.weights.pack MODEL FILE`
 * @throws GtcrnError without WebAssembly SIMD, or if the weights are damaged
 */
export function loadModel(options?: { weights?: ArrayBuffer | Uint8Array }): Promise<Model>;

/**
 * Enhances a whole signal, in the browser and in Node. Sample i of the result belongs to sample i of the input.
 *
 * @param samples mono, full scale 1, finite and within +-8
 * @param options.sampleRate 8000 to 192000 Hz; default 16000
 */
export function enhance(
  samples: Float32Array,
  options?: { sampleRate?: number; strength?: Strength; model?: Model },
): Promise<Float32Array>;

export interface DenoiserOptions {
  strength?: Strength;
  /** Delivers the raw signal, with the same latency; default false. */
  bypass?: boolean;
  /** The raw signal passes while the engine takes more than this fraction of real time; default 0.7. */
  maxLoad?: number;
  model?: Model;
}

export interface DenoiserStats {
  /** "raw" while the engine cannot keep up; "failed": the raw signal passes for good, `message` says why. */
  state: "enhanced" | "raw" | "failed";
  /** Fraction of real time that the engine takes. The worklet's clock ticks once a millisecond: small ones read as 0. */
  load: number;
  /** How often the engine could not keep up. */
  overloads: number;
  message: string;
  /** The strength and the estimated SNR in dB if the strength is "auto", else NaN. */
  strength: number;
  snrDb: number;
  /** Seconds from a sample's input to its output. */
  latency: number;
}

export interface Denoiser {
  /** From the next samples on, without a jump. */
  setStrength(strength: Strength): void;
  /** Switches between the enhanced and the raw signal, without a jump. */
  bypass(bypass: boolean): void;
  stats(): DenoiserStats;
}

export interface DenoiserNode extends Denoiser {
  readonly node: AudioWorkletNode;
  setMaxLoad(maxLoad: number): void;
  close(): void;
}

export interface StreamDenoiser extends Denoiser {
  /** Enhanced audio; video tracks of the input pass. */
  readonly outputStream: MediaStream;
  close(): Promise<void>;
}

/** Creates an `AudioWorkletNode` for an audio graph of your own, mono, at any sample rate of the context. */
export function createDenoiserNode(context: BaseAudioContext, options?: DenoiserOptions): Promise<DenoiserNode>;

/**
 * Enhances the audio of a stream, such as that of a microphone.
 *
 * Where the engine cannot run, the stream itself passes, and `stats().message` says why.
 */
export function createStreamDenoiser(
  mediaStream: MediaStream,
  options?: DenoiserOptions & { audioContext?: AudioContext },
): Promise<StreamDenoiser>;

/** LiveKit's `TrackProcessor` for a local audio track: `track.setProcessor(new GtcrnTrackProcessor())`. */
export class GtcrnTrackProcessor {
  constructor(options?: DenoiserOptions);
  readonly name: string;
  processedTrack?: MediaStreamTrack;
  init(options: { track: MediaStreamTrack; audioContext: AudioContext }): Promise<void>;
  restart(options: { track: MediaStreamTrack; audioContext: AudioContext }): Promise<void>;
  destroy(): Promise<void>;
  setStrength(strength: Strength): void;
  bypass(bypass: boolean): void;
  stats(): DenoiserStats | undefined;
}
