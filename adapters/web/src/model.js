import { WASM, WEIGHTS } from "./embedded.js";
import { Engine, GtcrnError, Stream } from "./engine.js";

// (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt)
const SIMD_MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
);

/** Returns why this host cannot run the engine, or "" if it can. */
export function whyUnsupported() {
  if (typeof WebAssembly !== "object") return "expected WebAssembly, which this browser does not have";
  if (!WebAssembly.validate(SIMD_MODULE))
    return "expected WebAssembly SIMD, which this browser or processor does not have: Chrome 91, Firefox 89, Safari 16.4 or later do";
  if (typeof DecompressionStream !== "function")
    return "expected DecompressionStream, which this browser does not have: Chrome 80, Firefox 113, Safari 16.4 or later do";
  return "";
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

let loading; // the default model

async function load(ownWeights) {
  const wasm = await unpacked(WASM);
  const weights = ownWeights ? new Uint8Array(ownWeights) : await unpacked(WEIGHTS);
  const model = { wasm, weights, engine: new Engine(await WebAssembly.compile(wasm), weights) };
  return Object.freeze(model);
}

/**
 * Loads the engine with the weights inside this file, or others: the bytes that `python -m gtcrn_frontend.weights.pack`
 * writes.
 */
export async function loadModel({ weights } = {}) {
  const reason = whyUnsupported();
  if (reason) throw new GtcrnError(reason);
  if (weights) return load(weights);
  loading ??= load().catch((error) => {
    loading = undefined; // the next call tries again
    throw error;
  });
  return loading;
}

/** Enhances a whole mono signal; the result is as long as the input, and aligned to the sample. */
export async function enhance(samples, { sampleRate = 16000, strength, model } = {}) {
  if (!(samples instanceof Float32Array))
    throw new GtcrnError("expected samples as a Float32Array of one channel, full scale 1");
  const stream = new Stream((model ?? (await loadModel())).engine, sampleRate, { strength });
  try {
    const enhanced = new Float32Array(samples.length);
    let place = 0;
    for (let begin = 0; begin < samples.length; begin += stream.block) {
      const part = stream.push(samples.subarray(begin, begin + stream.block));
      if (!part) throw new GtcrnError(`expected finite samples within +-8; got others from sample ${begin} on`);
      enhanced.set(part, place);
      place += part.length;
    }
    enhanced.set(stream.finish(), place);
    return enhanced;
  } finally {
    stream.close();
  }
}
