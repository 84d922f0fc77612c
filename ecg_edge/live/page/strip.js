// The rolling strip: samples by their index, drawn as on ECG paper. Where nothing came, nothing is drawn but a mark.

import { Samples } from "./samples.js";

const PAPER_MM_PER_S = 25;
const GAINS_MM_PER_MV = [20, 10, 5, 2.5, 1.25, 0.6]; // the largest that fits is taken
const LANE_PX = 26; // of verdicts, below the leads
const LABEL_PX = 18; // of seconds, above them
const FRAME_MS = 30;

export class Strip {
  constructor(canvas, told) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.told = told; // takes the scale, in words
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.takeColours());
    this.takeColours();
    this.paintings = 0;
    this.drawnAt = 0;
    const paint = (now) => {
      requestAnimationFrame(paint);
      if (!this.samples || now - this.drawnAt < FRAME_MS) return;
      this.advance(now);
      this.draw();
    };
    requestAnimationFrame(paint);
  }

  // A run begins: its rate, leads, hop, class names.
  begin(hello) {
    this.hello = hello;
    this.samples = new Samples(hello.shown_s * hello.fs_hz, hello.leads);
    this.verdicts = [];
    this.edge = null; // index at the right margin
    this.pace = 0; // samples per millisecond, as measured
    this.marks = [];
    this.centres = Array(hello.leads).fill(null);
    this.gain = null;
    this.fresh = true; // there is more than was fitted
  }

  take(update) {
    this.fresh = true;
    for (const [index, values] of update.runs) this.samples.push(index, values);
    this.samples.end = Math.max(this.samples.end, update.end);
    this.verdicts.push(...update.verdicts);
    this.verdicts = this.verdicts.filter((v) => v.last_index > update.end - this.samples.capacity - this.hello.hop);
    this.marks.push([update.now_s * 1000, update.end]);
    while (this.marks.length > 2 && this.marks[0][0] < update.now_s * 1000 - 2000) this.marks.shift();
    const [[t0, e0], [t1, e1]] = [this.marks[0], this.marks.at(-1)];
    this.pace = t1 > t0 ? (e1 - e0) / (t1 - t0) : 0;
  }

  // The right margin moves at the measured pace, a little behind the newest sample, so that motion is even.
  advance(now) {
    const { fs_hz } = this.hello, { end } = this.samples, past = now - this.drawnAt;
    this.drawnAt = now;
    if (this.still.matches) {
      this.edge = Math.ceil(end / (2 * fs_hz)) * 2 * fs_hz; // steps of two seconds, filled from the left
      return;
    }
    const wanted = end - this.pace * 150;
    if (this.edge === null || Math.abs(wanted - this.edge) > 1.5 * fs_hz + this.pace * 500) this.edge = wanted;
    this.edge += this.pace * past + (wanted - this.edge) * Math.min(1, past / 700);
    this.edge = Math.min(this.edge, end);
  }

  takeColours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "soft", "line", "well", "card", "paper", "thin", "thick", "trace", "warn", "warn-well", "hatch"];
    this.colour = Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
    this.classes = [0, 1, 2, 3, 4].map((k) => style.getPropertyValue("--k" + k).trim());
    this.hatch = null;
  }

  // How many seconds, how many pixels a millimetre: a phone shows fewer, and taller.
  layout() {
    const width = this.canvas.clientWidth, { leads, fs_hz } = this.hello;
    const seconds = width < 560 ? 8 : 10;
    const pxPerSample = width / (seconds * fs_hz);
    const mm = width / (seconds * PAPER_MM_PER_S);
    const boxes = Math.ceil(leads === 1 ? Math.max(10, 190 / (5 * mm)) : Math.max(6, 84 / (5 * mm)));
    const height = boxes * 5 * mm; // of a lead, in whole boxes
    const all = Math.round(LABEL_PX + height * leads + LANE_PX);
    const dots = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * dots) || this.canvas.height !== Math.round(all * dots)) {
      this.canvas.width = Math.round(width * dots);
      this.canvas.height = Math.round(all * dots);
      this.canvas.style.height = all + "px";
    }
    this.pen.setTransform(dots, 0, 0, dots, 0, 0);
    return { width, seconds, pxPerSample, mm, height, all };
  }

  draw() {
    const box = this.layout();
    if (!box.width) return;
    this.box = box;
    this.start = this.edge - box.seconds * this.hello.fs_hz;
    this.x = (index) => (index - this.start) * box.pxPerSample;
    const runs = this.samples.within(Math.floor(this.start), Math.ceil(this.edge) + 1);
    if (this.fresh || this.box.seconds !== this.toldSeconds) this.fit(runs);
    const { pen, colour } = this;
    pen.fillStyle = colour.paper;
    pen.fillRect(0, 0, box.width, box.all);
    this.grid();
    this.gaps();
    for (let lead = 0; lead < this.hello.leads; lead++) this.trace(runs, lead);
    this.lane();
    this.paintings++;
  }

  // The baseline (the median) of each lead, and the gain at which all but artefacts fits.
  fit(runs) {
    this.fresh = false;
    const { leads } = this.hello, swing = [0];
    for (let lead = 0; lead < leads; lead++) {
      const seen = [];
      for (const [a, b] of runs) for (let k = a; k < b; k++) seen.push(this.samples.at(k, lead));
      if (!seen.length) continue;
      seen.sort((a, b) => a - b);
      const quantile = (q) => seen[Math.min(seen.length - 1, Math.floor(q * seen.length))];
      const middle = quantile(0.5), centre = this.centres[lead];
      // It follows slowly: a strip that jumps cannot be read.
      this.centres[lead] = centre === null || Math.abs(middle - centre) > 1500 ? middle : centre + (middle - centre) * 0.15;
      swing.push((quantile(0.995) - middle) / 0.62, (middle - quantile(0.005)) / 0.38);
    }
    const { mm, height } = this.box, mv = Math.max(...swing) / 1000;
    const most = mm < 3 ? 20 : 10; // a phone's paper is small: taller waves there
    const fitting = GAINS_MM_PER_MV.filter((gain) => gain <= most && gain * mm * mv <= height - 8);
    const gain = fitting[0] ?? GAINS_MM_PER_MV.at(-1);
    if (gain === this.gain && this.box.seconds === this.toldSeconds) return;
    this.gain = gain;
    this.toldSeconds = this.box.seconds;
    this.told(`25 mm/s · ${gain} mm/mV · box 0.2 s × ${+(5 / gain).toFixed(2)} mV`);
  }

  baseline(lead) {
    const { height, mm } = this.box;
    const boxes = Math.round((height * 0.62) / (5 * mm)); // whole boxes: the baseline lies on a thick line
    return LABEL_PX + lead * height + boxes * 5 * mm;
  }

  grid() {
    const { pen, colour, box } = this, { fs_hz, leads } = this.hello;
    const top = LABEL_PX, bottom = box.all - LANE_PX, step = fs_hz / PAPER_MM_PER_S;
    const lines = (every, style, width) => {
      pen.beginPath();
      for (let k = Math.ceil(this.start / (step * every)) * every; k * step < this.edge; k += every) {
        const x = this.x(k * step);
        pen.moveTo(x, top);
        pen.lineTo(x, bottom);
      }
      for (let lead = 0; lead < leads; lead++) {
        const base = this.baseline(lead), low = top + lead * box.height, high = low + box.height;
        for (let k = Math.ceil((low - base) / (box.mm * every)); k * box.mm * every + base <= high + 0.01; k++) {
          const y = base + k * box.mm * every;
          pen.moveTo(0, y);
          pen.lineTo(box.width, y);
        }
      }
      pen.strokeStyle = style;
      pen.lineWidth = width;
      pen.stroke();
    };
    if (box.mm >= 3) lines(1, colour.thin, 0.6);
    lines(5, colour.thick, box.mm >= 3 ? 0.8 : 0.5);
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = colour.soft;
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    const every = box.width < 560 ? 2 : 1;
    for (let s = Math.ceil(this.start / fs_hz / every) * every; s * fs_hz <= this.edge; s += every) {
      const x = this.x(s * fs_hz), half = pen.measureText(clock(s)).width / 2 + 2;
      if (s >= 0 && x > half && x < box.width - half) pen.fillText(clock(s), x, LABEL_PX / 2 + 1);
    }
  }

  gaps() {
    const { pen, colour, box } = this, { fs_hz } = this.hello, bottom = box.all - LANE_PX;
    for (const [a, b] of this.samples.gaps(this.start, this.edge)) {
      const left = Math.max(0, this.x(a)), right = Math.min(box.width, this.x(b));
      if (right < left) continue;
      const wide = Math.max(3, right - left);
      pen.fillStyle = colour.paper;
      pen.fillRect(left, LABEL_PX, wide, bottom - LABEL_PX);
      pen.fillStyle = this.pattern();
      pen.fillRect(left, LABEL_PX, wide, bottom - LABEL_PX);
      pen.fillStyle = colour.warn;
      for (const x of [this.x(a), left + wide]) pen.fillRect(x - 0.5, LABEL_PX, 1, bottom - LABEL_PX);
      this.tag(`gap ${((b - a) / fs_hz).toFixed(2)} s`, (left + right) / 2, LABEL_PX + 14);
    }
  }

  tag(text, x, y) {
    const { pen, colour, box } = this;
    pen.font = "600 11px system-ui, sans-serif";
    const half = pen.measureText(text).width / 2 + 6, at = Math.min(box.width - half - 2, Math.max(half + 2, x));
    pen.fillStyle = colour["warn-well"];
    pen.beginPath();
    pen.roundRect(at - half, y - 9, 2 * half, 18, 4);
    pen.fill();
    pen.fillStyle = colour.warn;
    pen.textAlign = "center";
    pen.fillText(text, at, y + 0.5);
  }

  pattern() {
    if (this.hatch) return this.hatch;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const pen = tile.getContext("2d");
    pen.strokeStyle = this.colour.hatch;
    pen.globalAlpha = 0.55;
    pen.beginPath();
    for (const k of [-8, 0, 8]) {
      pen.moveTo(k - 1, 9);
      pen.lineTo(k + 9, -1);
    }
    pen.stroke();
    return (this.hatch = this.pen.createPattern(tile, "repeat"));
  }

  trace(runs, lead) {
    const { pen, colour, box } = this, base = this.baseline(lead), centre = this.centres[lead] ?? 0;
    const top = LABEL_PX + lead * box.height, bottom = top + box.height;
    const y = (k) => {
      const at = base - ((this.samples.at(k, lead) - centre) / 1000) * this.gain * box.mm;
      return Math.min(bottom - 1, Math.max(top + 1, at)); // the pen stops at the edge
    };
    pen.strokeStyle = colour.trace;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.beginPath();
    for (const [a, b] of runs) {
      pen.moveTo(this.x(a), y(a));
      for (let k = a + 1; k < b; k++) pen.lineTo(this.x(k), y(k));
    }
    pen.stroke();
    if (this.hello.leads > 1) {
      pen.font = "600 11px system-ui, sans-serif";
      pen.textAlign = "left";
      pen.fillStyle = colour.soft;
      pen.fillText(`lead ${lead + 1}`, 8, top + 12);
    }
  }

  // What was said of each hop, as words; the same word again only continues its stretch.
  lane() {
    const { pen, colour, box } = this, { hop } = this.hello, top = box.all - LANE_PX;
    pen.fillStyle = colour.card;
    pen.fillRect(0, top, box.width, LANE_PX);
    pen.fillStyle = colour.line;
    pen.fillRect(0, top, box.width, 1);
    const stretches = [];
    for (const v of this.verdicts) {
      const last = stretches.at(-1), from = v.last_index + 1 - hop, word = v.label ?? `no verdict: ${stateWords(v.state)}`;
      if (last && last.word === word && last.stop === from) last.stop = v.last_index + 1;
      else stretches.push({ from, stop: v.last_index + 1, word, k: this.hello.classes.indexOf(v.label) });
    }
    pen.font = "11.5px system-ui, sans-serif";
    pen.textAlign = "left";
    for (const { from, stop, word, k } of stretches) {
      const left = this.x(from), right = this.x(stop);
      if (right < 0 || left > box.width) continue;
      pen.save();
      pen.beginPath();
      pen.rect(left + 0.5, top + 1, right - left - 1, LANE_PX - 1);
      pen.clip();
      pen.fillStyle = colour.well;
      pen.fill();
      pen.fillStyle = k < 0 ? this.pattern() : this.classes[k % 5];
      pen.fillRect(left, top + 1, right - left, 3);
      pen.fillStyle = colour.ink;
      const at = Math.max(left, 0) + 7;
      pen.fillText(shortened(word, Math.min(right, box.width) - at - 4, pen), at, top + LANE_PX / 2 + 2);
      pen.restore();
    }
  }
}

// A word that fits, or what fits of it.
function shortened(word, width, pen) {
  if (pen.measureText(word).width <= width) return word;
  let kept = word.length;
  while (kept > 0 && pen.measureText(word.slice(0, kept) + "…").width > width) kept--;
  return kept > 1 ? word.slice(0, kept).trimEnd() + "…" : "";
}

export function clock(seconds) {
  const s = Math.floor(seconds), two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(s / 60) % 60, hours = Math.floor(s / 3600);
  return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

export function stateWords(state) {
  return { ok: "good", flat: "flat line", clipped: "clipped", lead_off: "lead off", gap: "gap" }[state] ?? state;
}
