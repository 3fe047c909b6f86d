// Interpreter of a decoder: operations on arrays of float64, row-major.
//
// A program is {constants, ops, inputs, outputs, count}; values are numbered,
// the constants first. `Program.load` returns the decoder as a function.
'use strict';

const Program = (() => {
  // erf x = 2 / sqrt(pi) exp(-x^2) sum_n 2^n x^(2n + 1) / (2n + 1)!!
  function erf(x) {
    if (Math.abs(x) > 6) return Math.sign(x);
    let term = x, sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= 2 * x * x / (2 * n + 1);
      sum += term;
    }
    return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
  }

  // By a continued fraction in the tail, where 1 - erf x would lose all digits:
  // erfc x = exp(-x^2) / sqrt(pi) / (x + 1/2 / (x + 2/2 / (x + 3/2 / ...)))
  function erfc(x) {
    if (x < 2) return 1 - erf(x);
    let below = x;
    for (let n = 60; n > 0; n--) below = x + n / 2 / below;
    return Math.exp(-x * x) / Math.sqrt(Math.PI) / below;
  }

  const unary = {
    abs: Math.abs, cbrt: Math.cbrt, ceil: Math.ceil, cos: Math.cos, erf, erfc,
    exp: Math.exp, exp2: (x) => 2 ** x,
    expm1: Math.expm1, floor: Math.floor,
    is_finite: (x) => Number(Number.isFinite(x)), log: Math.log,
    log1p: Math.log1p, logistic: (x) => 1 / (1 + Math.exp(-x)),
    neg: (x) => -x, not: (x) => 1 - x, rsqrt: (x) => 1 / Math.sqrt(x),
    sign: Math.sign, sin: Math.sin, sqrt: Math.sqrt, tanh: Math.tanh,
    trunc: Math.trunc, truth: (x) => Number(x !== 0),
  };
  const binary = {
    add: (a, b) => a + b, and: (a, b) => a * b, div: (a, b) => a / b,
    eq: (a, b) => Number(a === b), ge: (a, b) => Number(a >= b),
    gt: (a, b) => Number(a > b), le: (a, b) => Number(a <= b),
    lt: (a, b) => Number(a < b), max: Math.max, min: Math.min,
    mul: (a, b) => a * b, ne: (a, b) => Number(a !== b), or: Math.max,
    pow: Math.pow, sub: (a, b) => a - b,
  };

  // Calls visit(i, place) for element i of a strided array.
  function walk(shape, strides, offset, visit) {
    let i = 0;
    const step = (axis, place) => {
      if (axis === shape.length) {
        visit(i++, place);
        return;
      }
      for (let k = 0; k < shape[axis]; k++) {
        step(axis + 1, place + k * strides[axis]);
      }
    };
    step(0, offset);
  }

  // A scalar stands for an array of equal elements.
  const at = (x, i) => x[x.length === 1 ? 0 : i];

  function elementwise(op, inputs) {
    const out = new Float64Array(op.size), [a, b] = inputs;
    const f = unary[op.op], g = binary[op.op];
    for (let i = 0; i < out.length; i++) {
      out[i] = f ? f(at(a, i)) : g(at(a, i), at(b, i));
    }
    return out;
  }

  const operations = {
    same: (op, [x]) => x,

    select_n(op, [which, ...cases]) {
      const out = new Float64Array(op.size);
      return out.map((_, i) => at(cases[at(which, i)], i));
    },

    view(op, [x]) {
      const out = new Float64Array(op.size);
      walk(op.dims, op.strides, op.offset, (i, place) => {
        out[i] = x[place];
      });
      return out;
    },

    place(op, [fill, ...parts]) {
      const out = new Float64Array(op.size).fill(fill[0]);
      parts.forEach((x, j) => {
        walk(op.shapes[j], op.strides, op.offsets[j], (i, place) => {
          out[place] = x[i];
        });
      });
      return out;
    },

    reduce(op, [x]) {
      const out = new Float64Array(op.size), f = binary[op.kind];
      for (let i = 0; i < out.length; i++) {
        const start = i * op.count;
        out[i] = x[start];
        for (let j = 1; j < op.count; j++) out[i] = f(out[i], x[start + j]);
      }
      return out;
    },

    matmul(op, [a, b]) {
      const {m, n, k} = op, out = new Float64Array(op.size);
      for (let row = 0; row < op.b * m; row++) {
        const matrix = Math.floor(row / m) * k * n;
        for (let j = 0; j < k; j++) {
          const scale = a[row * k + j], start = matrix + j * n;
          for (let i = 0; i < n; i++) out[row * n + i] += scale * b[start + i];
        }
      }
      return out;
    },

    convolution(op, [image, kernel]) {
      const out = new Float64Array(op.size);
      const [count, rows, columns, inner] = op.image;
      const [height, width, , outer] = op.kernel;
      // Index in the image of a window's element; -1 between and beyond.
      const source = (axis, size, i, j) => {
        const place = i * op.stride[axis] + j * op.dilation[axis]
          - op.padding[axis];
        const index = place / op.spread[axis];
        return Number.isInteger(index) && index < size ? index : -1;
      };
      const add = (to, from, window) => {
        for (let c = 0; c < inner; c++) {
          const x = image[from + c], start = window + c * outer;
          for (let o = 0; o < outer; o++) out[to + o] += x * kernel[start + o];
        }
      };
      const shape = [count, op.dims[1], op.dims[2], height, width];
      walk(shape, [0, 0, 0, 0, 0], 0, (number) => {
        const v = number % width, rest = Math.floor(number / width);
        const u = rest % height, pixel = Math.floor(rest / height);
        const y = Math.floor(pixel / op.dims[2]);
        const n = Math.floor(y / op.dims[1]);
        const i = source(0, rows, y % op.dims[1], u);
        const j = source(1, columns, pixel % op.dims[2], v);
        if (i < 0 || j < 0) return;
        const from = ((n * rows + i) * columns + j) * inner;
        add(pixel * outer, from, (u * width + v) * inner * outer);
      });
      return out;
    },
  };

  function scan(op, values) {
    const given = op.in.map((i) => values[i]);
    const {body, length, fixed, carried} = op;
    const sequences = given.slice(fixed + carried);
    let carry = given.slice(fixed, fixed + carried);
    const stacked = op.sizes.slice(carried).map((n) => new Float64Array(n));
    for (let step = 0; step < length; step++) {
      const t = op.reverse ? length - 1 - step : step;
      const slices = sequences.map((x) => {
        const size = x.length / length;
        return x.subarray(t * size, (t + 1) * size);
      });
      const inputs = [...given.slice(0, fixed), ...carry, ...slices];
      body.inputs.forEach((id, i) => { values[id] = inputs[i]; });
      execute(body.ops, values);
      const found = body.outputs.map((id) => values[id]);
      carry = found.slice(0, carried);
      stacked.forEach((out, i) => {
        out.set(found[carried + i], t * out.length / length);
      });
    }
    [...carry, ...stacked].forEach((x, i) => { values[op.out[i]] = x; });
  }

  function execute(ops, values) {
    for (const op of ops) {
      if (op.op === 'scan') {
        scan(op, values);
        continue;
      }
      const run = operations[op.op] || elementwise;
      values[op.out[0]] = run(op, op.in.map((i) => values[i]));
    }
  }

  // Half precision: 1 bit for the sign, 5 for the exponent, 10 for the rest.
  function half(bits) {
    const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31;
    const rest = (bits & 1023) / 1024;
    if (exponent === 0) return sign * rest * 2 ** -14;
    return sign * (1 + rest) * 2 ** (exponent - 15);
  }

  function weights(program) {
    const text = atob(program.weights);
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    if (program.dtype === 'float16') {
      return Float64Array.from(new Uint16Array(bytes.buffer), half);
    }
    return Float64Array.from(new Float32Array(bytes.buffer));
  }

  // Returns (...inputs) -> {name: Float64Array}.
  function load(program) {
    const all = weights(program), constants = [];
    const special = {nan: NaN, inf: Infinity, '-inf': -Infinity};
    for (const [id, size, content] of program.constants) {
      const isPlace = Array.isArray(content);
      constants[id] = isPlace
        ? all.subarray(content[0], content[0] + size)
        : new Float64Array(size).fill(special[content] ?? content);
    }
    return (...inputs) => {
      const values = [...constants];
      program.inputs.forEach((id, i) => {
        values[id] = Float64Array.from(inputs[i]);
      });
      execute(program.ops, values);
      const named = Object.entries(program.outputs);
      return Object.fromEntries(named.map(([name, id]) => [name, values[id]]));
    };
  }

  return {load};
})();
