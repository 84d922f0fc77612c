// The last samples by index: the same ring as the server's.
export class Samples {
  constructor(capacity, leads) {
    this.capacity = capacity;
    this.leads = leads;
    this.values = new Int16Array(capacity * leads);
    this.runs = []; // [start, stop) of what came without a break
    this.end = 0; // index of the next sample, whether the one before it came or not
  }

  push(index, values) {
    const count = values.length / this.leads;
    const last = this.runs.at(-1);
    if (last && index < last[1]) return;
    if (last && last[1] === index) last[1] += count;
    else this.runs.push([index, index + count]);
    for (let k = 0; k < values.length; k++) {
      this.values[(index * this.leads + k) % this.values.length] = values[k];
    }
    while (this.runs.length && this.runs[0][1] <= index + count - this.capacity) this.runs.shift();
  }

  at(index, lead) {
    return this.values[(index * this.leads + lead) % this.values.length];
  }

  // Unbroken runs within [start, stop).
  within(start, stop) {
    const first = Math.max(start, this.end - this.capacity);
    return this.runs.map(([a, b]) => [Math.max(a, first), Math.min(b, stop)]).filter(([a, b]) => a < b);
  }

  // What is missing within [start, stop), of what can be known.
  gaps(start, stop) {
    const found = [];
    this.runs.forEach(([, a], k) => {
      const b = k + 1 < this.runs.length ? this.runs[k + 1][0] : this.end;
      if (a < b && a < stop && b > start) found.push([a, b]);
    });
    return found;
  }
}
