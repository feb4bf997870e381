const TOP_HZ = 8000; // the band of the model
const LOW_DB = -95;
const HIGH_DB = -25;
const SCALES = {
  light: [[255, 255, 255], [178, 190, 235], [63, 81, 181], [20, 24, 70]],
  dark: [[20, 22, 30], [60, 50, 140], [230, 120, 60], [255, 245, 200]],
};

/** 256 colours between those of a scale. */
function palette(scale) {
  return Array.from({ length: 256 }, (_, level) => {
    const place = (level / 255) * (scale.length - 1);
    const below = Math.min(Math.floor(place), scale.length - 2);
    return scale[below].map((value, i) => value + (scale[below + 1][i] - value) * (place - below));
  });
}
const PALETTES = { light: palette(SCALES.light), dark: palette(SCALES.dark) };

function theme() {
  return document.body.dataset.mdColorScheme === "slate" ? "dark" : "light";
}

/** A spectrogram that scrolls: one column of pixels per `draw`. */
export class Spectrogram {
  constructor(canvas) {
    this.canvas = canvas;
    this.columns = []; // levels 0 to 255, lowest frequency first
    new ResizeObserver(() => this.redraw()).observe(canvas);
    new MutationObserver(() => this.redraw()).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  }

  /** Adds the present spectrum of an analyser. */
  draw(analyser) {
    const spectrum = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(spectrum);
    const bins = Math.round((spectrum.length * TOP_HZ * 2) / analyser.context.sampleRate);
    const levels = Array.from(spectrum.subarray(0, bins), (db) =>
      Math.max(0, Math.min(255, Math.round((255 * (db - LOW_DB)) / (HIGH_DB - LOW_DB)))),
    );
    this.columns.push(levels);
    if (this.columns.length > this.canvas.width) this.columns.shift();
    const context = this.canvas.getContext("2d");
    context.drawImage(this.canvas, -1, 0);
    this.paint(context, levels, this.canvas.width - 1);
  }

  clear() {
    this.columns = [];
    this.redraw();
  }

  redraw() {
    const { canvas, columns } = this;
    canvas.width = Math.max(1, canvas.clientWidth);
    canvas.height = Math.max(1, canvas.clientHeight);
    const context = canvas.getContext("2d");
    context.fillStyle = `rgb(${PALETTES[theme()][0].join()})`;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const shown = columns.slice(-canvas.width);
    shown.forEach((levels, i) => this.paint(context, levels, canvas.width - shown.length + i));
  }

  paint(context, levels, x) {
    const { height } = this.canvas;
    const column = context.createImageData(1, height);
    const colours = PALETTES[theme()];
    for (let y = 0; y < height; y++) {
      const bin = Math.floor(((height - 1 - y) * levels.length) / height);
      column.data.set([...colours[levels[bin] ?? 0], 255], 4 * y);
    }
    context.putImageData(column, x, 0);
  }
}
