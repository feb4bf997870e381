import { createDenoiserNode } from "./denoiser_node.js";
import { strengthForC } from "./engine.js";

/** What stands for a denoiser where there is none: the stream as it is, and why. */
function passThrough(mediaStream, message) {
  const stats = { state: "failed", load: 0, overloads: 0, message, strength: NaN, snrDb: NaN, latency: 0 };
  return {
    outputStream: mediaStream,
    setStrength() {},
    bypass() {},
    stats: () => ({ ...stats }),
    async close() {},
  };
}

/**
 * Enhances the audio of a `MediaStream`, such as that of a microphone; its video tracks pass.
 *
 * Where the engine cannot run, the output is the stream itself, `stats().message` says why, and so does a warning on
 * the console.
 */
export async function createStreamDenoiser(mediaStream, { audioContext, ...options } = {}) {
  strengthForC(options.strength); // a mistake of the caller is no reason to pass the stream
  const context = audioContext ?? new AudioContext({ latencyHint: "interactive" });
  let denoiser;
  try {
    denoiser = await createDenoiserNode(context, options);
  } catch (error) {
    if (!audioContext) await context.close();
    console.warn(`gtcrn-web: the audio passes as it is: ${error.message}`);
    return passThrough(mediaStream, error.message);
  }
  const source = context.createMediaStreamSource(mediaStream);
  const sink = context.createMediaStreamDestination();
  sink.channelCount = 1;
  source.connect(denoiser.node).connect(sink);
  if (context.state === "suspended") context.resume().catch(() => {}); // until the user has touched the page
  const { setStrength, bypass, stats } = denoiser;
  return {
    outputStream: new MediaStream([...sink.stream.getAudioTracks(), ...mediaStream.getVideoTracks()]),
    setStrength,
    bypass,
    stats,
    async close() {
      source.disconnect();
      denoiser.close();
      for (const track of sink.stream.getTracks()) track.stop();
      if (!audioContext) await context.close();
    },
  };
}
