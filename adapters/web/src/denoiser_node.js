import { WORKLET } from "./embedded.js";
import { GtcrnError, strengthForC } from "./engine.js";
import { loadModel } from "./model.js";

const prepared = new WeakMap(); // AudioContext to the promise of its worklet module

function addWorklet(context) {
  if (!context.audioWorklet)
    throw new GtcrnError("expected AudioWorklet, which browsers have on https:// pages and on localhost only");
  if (!prepared.has(context)) {
    const address = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
    const adding = context.audioWorklet.addModule(address).finally(() => URL.revokeObjectURL(address));
    prepared.set(context, adding);
    adding.catch(() => prepared.delete(context)); // the next call tries again
  }
  return prepared.get(context);
}

/**
 * Creates an `AudioWorkletNode` that enhances speech, at any sample rate of the context.
 *
 * The output is mono. While the engine takes more than `maxLoad` of real time, the raw signal passes.
 */
export async function createDenoiserNode(context, { strength, bypass = false, maxLoad, model } = {}) {
  strengthForC(strength); // fails here, where the caller sees it
  const { wasm, weights } = model ?? (await loadModel());
  await addWorklet(context);
  const node = new AudioWorkletNode(context, "gtcrn", {
    numberOfInputs: 1,
    numberOfOutputs: 1,
    outputChannelCount: [1],
    channelCount: 1,
    channelCountMode: "explicit",
    processorOptions: { wasm, weights, strength, bypass, maxLoad },
  });
  let stats = { state: "enhanced", load: 0, overloads: 0, message: "", strength: NaN, snrDb: NaN, latency: 0 };
  await new Promise((resolve, reject) => {
    node.port.onmessage = ({ data }) => {
      stats = { ...stats, ...data };
      resolve();
    };
    node.onprocessorerror = () => {
      const message = "the engine could not be started in the AudioWorklet";
      stats = { ...stats, state: "failed", message };
      reject(new GtcrnError(message));
    };
  });
  return {
    node,
    setStrength(value) {
      strengthForC(value);
      node.port.postMessage({ strength: value });
    },
    bypass: (value) => node.port.postMessage({ bypass: value }),
    setMaxLoad: (value) => node.port.postMessage({ maxLoad: value }),
    stats: () => ({ ...stats }),
    close() {
      node.port.postMessage({ isOpen: false });
      node.disconnect();
    },
  };
}
