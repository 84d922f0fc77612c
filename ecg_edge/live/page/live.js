// The live page: server-sent events in, words and a strip out.

import { Strip, clock, stateWords } from "./strip.js";

const LOST_MS = 3500; // the server says something every second
const AGAIN_MS = 1500;
const QUIET_S = 1.5; // without a sample: no signal
const ROWS = 500; // of events, as many as the server keeps

const $ = (id) => document.getElementById(id);
const say = (id, text) => {
  if ($(id).textContent !== text) $(id).textContent = text; // untouched text is not read out again
};
const strip = new Strip($("strip"), (scale) => say("scale", scale));

let hello = null; // what runs
let heard = 0; // when the server last said something
let stream = null;
let state = "wait"; // wait, live, ended, refused
let rates = []; // [seconds, samples received]
let newest = 0; // serial of the next event

function connect() {
  stream?.close();
  heard = performance.now();
  stream = new EventSource("stream");
  stream.addEventListener("hello", (message) => begin(JSON.parse(message.data)));
  stream.addEventListener("update", (message) => take(JSON.parse(message.data)));
  stream.addEventListener("error", async () => {
    if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    const answer = await fetch("icon.svg", { cache: "no-store" }).catch(() => null);
    if (answer?.status === 403) state = "refused";
  });
}

function begin(told) {
  heard = performance.now();
  state = "live";
  rates = [];
  if (hello?.run !== told.run) {
    newest = 0;
    $("history").replaceChildren();
    $("odds").replaceChildren(...told.classes.map(odd));
    say("verdict", `Waiting for the first ${thing(told)}`);
    say("detail", "");
    $("hero").className = "hero plain";
    for (const id of ["latency", "pulse", "rate", "signal"]) say(id, "-");
    $("signal").removeAttribute("data-is");
    say("signal-note", "");
    say("about", [`${told.model} ${told.version}`, `${told.fs_hz} Hz`, told.source].filter(Boolean).join(" · "));
    document.title = `${told.model} · ecg-edge live`;
  }
  hello = told;
  strip.begin(told); // what is kept of the last seconds comes again at once
  say("behind", "");
  say("history-note", `Changes of verdict, gaps and notices, newest first. ECG can be downloaded for ${span(told.keeps_s)}, up to a gap and never across one; an event's own download is whole a few seconds after it.`);
}

function take(update) {
  heard = performance.now();
  for (const run of update.runs) run[1] = numbers(run[1]);
  strip.take(update);
  const said = update.verdicts.at(-1), gap = update.history.findLast((event) => event.kind === "gap");
  if (gap && gap.serial > (said?.serial ?? -1)) unsay();
  else if (said) verdict(said);
  for (const event of update.history) if (event.serial >= newest) remember(event);
  if (update.skipped) behind(update.skipped / hello.fs_hz);
  count(update);
  if (update.ended) {
    state = "ended";
    stream.close();
    for (const cell of document.querySelectorAll("#history td:last-child")) cell.replaceChildren();
    say("history-note", "The run has ended: nothing can be downloaded any more.");
  }
  show(update.idle_s);
}

function behind(seconds) {
  say("behind", `This page was too slow, and left out ${seconds.toFixed(0)} s`);
  clearTimeout(behind.until);
  behind.until = setTimeout(() => say("behind", ""), 10000);
}

function verdict(v) {
  const none = v.label === null;
  $("hero").classList.toggle("none", none);
  say("verdict", none ? `No verdict: ${stateWords(v.state)}` : v.label);
  $("verdict").classList.toggle("long", $("verdict").textContent.length > 24);
  if (v.beat) say("detail", `of the beat at ${clock(v.beat.index / hello.fs_hz)}`);
  else say("detail", `of ${clock(v.first_index / hello.fs_hz)} to ${clock((v.last_index + 1) / hello.fs_hz)}`);
  const best = v.probability.indexOf(Math.max(...v.probability));
  [...$("odds").children].forEach((row, k) => {
    row.className = k === best && !none ? "first" : "";
    row.querySelector("i").style.transform = `scaleX(${v.probability[k]})`;
    row.querySelector(".n").textContent = none ? "-" : `${(100 * v.probability[k]).toFixed(1)} %`;
    if (none) row.querySelector("i").style.transform = "scaleX(0)";
  });
  say("signal", stateWords(v.state));
  $("signal").dataset.is = none ? "warn" : "";
  say("latency", `${(v.latency_s * 1000).toFixed(1)} ms`);
  say("latency-note", v.beat ? "and up to two more beats" : `and ${hello.delay_s.toFixed(2)} s of filter`);
}

// After a gap: what was said is of another signal.
function unsay() {
  $("hero").classList.remove("none");
  $("verdict").classList.add("long");
  say("verdict", `Waiting for a whole ${thing(hello)} after the gap`);
  say("detail", "");
  for (const row of $("odds").children) {
    row.className = "";
    row.querySelector("i").style.transform = "scaleX(0)";
    row.querySelector(".n").textContent = "-";
  }
}

function count(update) {
  const a = update.account, all = a.received + a.missing;
  rates.push([update.now_s, a.received]);
  while (rates.length > 2 && rates[0][0] < update.now_s - 5) rates.shift();
  const [t0, n0] = rates[0], past = update.now_s - t0;
  if (past > 0.9) say("rate", ((a.received - n0) / past).toFixed(0));
  say("pulse", `${update.rate_bpm ?? "-"}`);
  say("rate-note", `of the model's ${hello.fs_hz}`);
  say("missing", a.missing.toLocaleString("en"));
  $("missing").dataset.is = a.missing ? "warn" : "";
  say("missing-note", `${all ? share(a.missing / all) : "0 %"} of all`);
  say("gaps", a.gaps.toLocaleString("en"));
  say("verdicts", a.verdicts.toLocaleString("en"));
  say("verdicts-note", `${a.abstained.toLocaleString("en")} withheld`);
  say("time", clock(all / hello.fs_hz));
  forget(update.end);
}

// The line at the top, and whether what is shown is of now.
function show(idle_s = 0) {
  const lost = state === "live" && performance.now() - heard > LOST_MS;
  const quiet = state === "live" && !lost && idle_s > QUIET_S;
  const words = {
    wait: ["wait", "Connecting"],
    ended: ["quiet", "The run has ended"],
    refused: ["lost", "Not allowed any more: open the URL that ecg-edge printed"],
    live: lost ? ["lost", "Connection lost, trying again"] : quiet ? ["quiet", `No signal for ${idle_s.toFixed(0)} s`] : ["live", "Live"],
  }[state];
  $("link").dataset.is = words[0];
  say("link", words[1]);
  document.body.classList.toggle("stale", lost || quiet || state === "ended" || state === "refused");
  if (quiet || lost) {
    say("signal", quiet ? "none" : "unknown");
    say("pulse", "-");
    $("signal").dataset.is = quiet ? "bad" : "";
  }
}

function remember(event) {
  newest = event.serial + 1;
  const row = document.createElement("tr");
  row.dataset.index = event.last_index ?? event.index ?? Math.round(event.time_s * hello.fs_hz);
  const [time, what, ecg] = ["td", "td", "td"].map((name) => row.appendChild(document.createElement(name)));
  what.className = "what";
  time.textContent = clock(event.time_s);
  const wall = time.appendChild(document.createElement("small"));
  wall.textContent = new Date(event.wall_s * 1000).toLocaleTimeString("en-GB");
  const mark = what.appendChild(document.createElement("i"));
  mark.className = event.kind === "verdict" ? "mark" : `mark ${event.kind}`;
  if (event.label) mark.classList.add(`c${hello.classes.indexOf(event.label) % 5}`);
  what.append(words(event));
  for (const part of event.parts) {
    const link = ecg.appendChild(document.createElement("a"));
    link.href = `events/${event.serial}/${part}.csv`;
    link.download = "";
    link.textContent = part === "ecg" ? "CSV" : part;
    link.setAttribute("aria-label", `Download the ECG ${part === "ecg" ? "around" : part} ${words(event)} at ${clock(event.time_s)}`);
  }
  $("history").prepend(row);
  while ($("history").children.length > ROWS) $("history").lastChild.remove();
}

function words(event) {
  if (event.kind === "notice") return event.text;
  if (event.kind === "gap") return `Gap of ${event.seconds.toFixed(3)} s` + (event.exact ? "" : ", by the clock");
  return event.label === null ? `No verdict: ${stateWords(event.state)}` : event.label;
}

// A download that the server no longer has is no link.
function forget(end) {
  const oldest = end - hello.keeps_s * hello.fs_hz;
  for (let row = $("history").lastChild; row && row.dataset.index < oldest; row = row.previousSibling) {
    if (row.lastChild.querySelector("a")) row.lastChild.textContent = "past";
  }
}

function odd(name, k) {
  const row = document.createElement("li");
  const [label, track, n] = ["name", "track", "n"].map((kind) => {
    const span = row.appendChild(document.createElement("span"));
    span.className = kind;
    return span;
  });
  label.textContent = name;
  track.appendChild(document.createElement("i")).className = `c${k % 5}`;
  n.textContent = "-";
  return row;
}

// Little-endian int16, as every machine with a browser has them.
function numbers(text) {
  return new Int16Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

const thing = (told) => (told.takes === "beats" ? "beat" : "window");
const share = (part) => (part > 0 && part < 0.0001 ? "under 0.01 %" : `${(100 * part).toFixed(2)} %`);
const span = (s) => (s >= 3600 && s % 3600 === 0 ? (s === 3600 ? "an hour" : `${s / 3600} hours`) : `${Math.round(s / 60)} minutes`);

setInterval(() => {
  const silent = performance.now() - heard > LOST_MS;
  if (state === "refused" || !silent) return;
  if (state !== "ended") show();
  connectAgain();
}, 500);

let triedAt = 0;
function connectAgain() {
  if (performance.now() - triedAt < AGAIN_MS) return;
  triedAt = performance.now();
  const was = heard;
  connect();
  heard = was; // trying is not hearing
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && performance.now() - heard > LOST_MS) connectAgain();
});

connect();
