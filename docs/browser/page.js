// The controls of the page: which signal is playing, before or after, how strong, and what went wrong.

import { Spectrogram } from "./spectrogram.js";
import { wavFile } from "./wav.js";

const EXAMPLE = new URL("../audio/noisy.flac", import.meta.url);
const DEFAULT_STRENGTH = 0.8;
const MEASURE_MS = 2000; // between measurements of the load
const NOTEWORTHY_LOAD = 0.2; // from which on the worklet's own figure is meaningful

const CONTROLS = `
  <div class="demo-row" role="group" aria-label="Source">
    <button type="button" id="demo-example" class="md-button">Example</button>
    <label class="md-button demo-file"><input type="file" id="demo-file" accept="audio/*,video/*">Choose a file</label>
    <button type="button" id="demo-microphone" class="md-button" aria-pressed="false">Microphone</button>
    <button type="button" id="demo-play" class="md-button md-button--primary" disabled>Play</button>
  </div>
  <p id="demo-message" class="demo-message" role="status" aria-live="polite">Loading the engine …</p>
  <div class="demo-row">
    <fieldset class="demo-switch">
      <legend>Hear</legend>
      <label><input type="radio" name="demo-side" id="demo-before"><span>Before</span></label>
      <label><input type="radio" name="demo-side" id="demo-after" checked><span>After</span></label>
    </fieldset>
    <label class="demo-strength">Strength <output id="demo-level"></output>
      <input type="range" id="demo-strength" min="0" max="100" value="${100 * DEFAULT_STRENGTH}">
    </label>
    <label><input type="checkbox" id="demo-auto"> Auto</label>
    <label id="demo-monitor-label" hidden><input type="checkbox" id="demo-monitor"> Hear the microphone (wear headphones)</label>
  </div>
  <figure><figcaption>Before</figcaption><canvas id="demo-canvas-before" role="img"
    aria-label="Spectrogram of the raw signal, up to 8 kHz"></canvas></figure>
  <figure><figcaption>After</figcaption><canvas id="demo-canvas-after" role="img"
    aria-label="Spectrogram of the enhanced signal, up to 8 kHz"></canvas></figure>
  <div class="demo-row demo-foot">
    <dl>
      <div><dt>CPU</dt><dd id="demo-load">–</dd></div>
      <div><dt>Latency</dt><dd id="demo-latency">–</dd></div>
    </dl>
    <button type="button" id="demo-download" class="md-button" disabled>Download the result</button>
  </div>
  <p class="demo-privacy">No recording leaves this page: the engine runs in your browser, and the page's
    <code>Content-Security-Policy</code> lets it talk to no other host.</p>`;

const root = document.querySelector("#demo");
root.innerHTML = CONTROLS;
const part = Object.fromEntries(
  [...root.querySelectorAll("[id]")].map((element) => [
    element.id.slice(5).replace(/-(\w)/g, (_, c) => c.toUpperCase()),
    element,
  ]),
);
const state = { player: undefined, samples: undefined, name: "", mode: "idle", notice: "" };

function say(text, isError = false) {
  part.message.textContent = text;
  part.message.classList.toggle("demo-error", isError);
}

function strength() {
  return part.auto.checked ? "auto" : part.strength.value / 100;
}

/** What a person can do about an error. */
function advice(error) {
  const microphone = {
    NotAllowedError: "The microphone was not allowed. A file and the example work without it.",
    NotFoundError: "This device has no microphone. A file and the example work without it.",
    NotReadableError: "The microphone is in use by another program.",
    SecurityError: "Browsers give the microphone to https:// pages and localhost only. A file works here, too.",
  };
  return microphone[error.name] ?? error.message;
}

/** Runs what a control asks for, and says what went wrong. */
function handle(element, event, action) {
  element.addEventListener(event, async () => {
    try {
      await action();
    } catch (error) {
      setMode("idle");
      say(advice(error), true);
    }
    show();
  });
}

function setMode(mode) {
  if (state.mode === "microphone" && mode !== "microphone") {
    const recording = state.player.stop();
    if (recording) Object.assign(state, { samples: recording, name: "recording" });
  } else if (state.mode === "playing" && mode !== "playing") {
    state.player.stop();
  }
  state.mode = mode;
}

/** The engine, once it is there; made by the first touch, since browsers start audio only then. */
async function player() {
  if (state.player) return state.player;
  const { Player } = await import("./player.js");
  const made = new Player();
  await made.open(strength());
  state.player = made;
  made.setAfter(part.after.checked);
  requestAnimationFrame(draw);
  await showLoad();
  setInterval(showLoad, MEASURE_MS);
  return made;
}

async function use(bytes, name) {
  const p = await player();
  setMode("idle");
  try {
    state.samples = await p.decode(bytes);
  } catch {
    throw new Error(`This browser cannot decode ${name}. Choose an audio file such as WAV, FLAC, MP3 or Ogg.`);
  }
  state.name = name.replace(/\.[^.]*$/, "");
  await start();
}

async function start() {
  const p = await player();
  p.setAudible(true);
  await p.play(state.samples);
  state.mode = "playing";
  const seconds = state.samples.length / p.context.sampleRate;
  say(`Playing ${state.name} (${seconds.toFixed(1)} s), over and over.`);
}

async function startMicrophone() {
  const p = await player();
  setMode("idle");
  p.setAudible(part.monitor.checked);
  await p.listen();
  state.mode = "microphone";
  say("The microphone is on. Stop it to hear the recording before and after.");
}

function show() {
  const isListening = state.mode === "microphone";
  part.microphone.textContent = isListening ? "Stop the microphone" : "Microphone";
  part.microphone.setAttribute("aria-pressed", isListening);
  part.monitorLabel.hidden = !isListening;
  part.play.textContent = state.mode === "playing" ? "Pause" : "Play";
  part.play.disabled = !state.samples || isListening;
  part.download.disabled = !state.samples || isListening;
  part.strength.disabled = part.auto.checked;
  if (!part.auto.checked) part.level.textContent = `${part.strength.value} %`;
}

async function showLoad() {
  if (document.hidden) return;
  const { load } = state.player.denoiser.stats();
  const shown = load > NOTEWORTHY_LOAD ? load : await state.player.measureLoad();
  part.load.textContent = `${(100 * shown).toFixed(1)} % of a core`;
}

/** Once a frame of the display: both spectrograms and the figures. */
function draw() {
  const { player: p } = state;
  const stats = p.denoiser.stats();
  if (state.mode !== "idle") {
    before.draw(p.before.analyser);
    after.draw(p.after.analyser);
  }
  part.latency.textContent = `${(1000 * stats.latency).toFixed(0)} ms`;
  if (part.auto.checked) part.level.textContent = stats.strength > 0 ? `${(100 * stats.strength).toFixed(0)} %` : "–";
  const notice = { enhanced: "", raw: "This device is too slow at the moment: the raw signal passes." };
  const text = notice[stats.state] ?? stats.message;
  if (text !== state.notice) say((state.notice = text) || "The enhanced signal is back.", Boolean(text));
  requestAnimationFrame(draw);
}

async function download() {
  const { enhance } = await import("./gtcrn.js");
  const { sampleRate } = state.player.context;
  say("Enhancing …");
  await new Promise((resolve) => setTimeout(resolve)); // shows the message
  const enhanced = await enhance(state.samples, { sampleRate, strength: strength() });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(wavFile(enhanced, sampleRate));
  link.download = `${state.name}-enhanced.wav`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  say(`Saved as ${link.download}.`);
}

function setStrength() {
  state.player?.denoiser.setStrength(strength());
}

const before = new Spectrogram(part.canvasBefore);
const after = new Spectrogram(part.canvasAfter);

handle(part.example, "click", async () => use(await (await fetch(EXAMPLE)).arrayBuffer(), "the example.flac"));
handle(part.file, "change", async () => {
  const [file] = part.file.files;
  part.file.value = ""; // the same file can be chosen again
  if (file) await use(await file.arrayBuffer(), file.name);
});
handle(part.microphone, "click", async () => {
  if (state.mode !== "microphone") return startMicrophone();
  setMode("idle");
  return start();
});
handle(part.play, "click", async () => {
  if (state.mode !== "playing") return start();
  setMode("idle");
  say("Paused.");
  return undefined;
});
handle(part.download, "click", download);
handle(part.before, "change", () => state.player?.setAfter(false));
handle(part.after, "change", () => state.player?.setAfter(true));
handle(part.monitor, "change", () => state.player?.setAudible(part.monitor.checked));
handle(part.strength, "input", setStrength);
handle(part.auto, "change", setStrength);
show();

/** Says before the first touch what would fail after it. */
async function check() {
  const { whyUnsupported } = await import("./gtcrn.js");
  const reason = whyUnsupported();
  if (reason) throw new Error(reason);
  say("Choose what to hear.");
}
check().catch((error) => {
  const isAbsent = error instanceof TypeError; // of the import
  const absent = "The engine is not part of this copy of the page: install ziglang, and build the documentation again.";
  say(isAbsent ? absent : error.message, true);
  for (const control of root.querySelectorAll("button, input")) control.disabled = true;
});
