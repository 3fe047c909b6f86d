// Controls of the decoder: sliders, latent plane, class and picture.
'use strict';

(() => {
  const find = (name) => document.getElementById(`decoder-${name}`);
  const page = JSON.parse(find('data').textContent);
  const decode = Program.load(page.program);
  const sliders = [...document.querySelectorAll('.decoder-sliders input')];
  const picture = find('picture'), plane = find('plane');
  const state = {z: [...page.start], y: page.y && [...page.y[0]], example: 0};
  let isPending = false;

  // Mean of p(x|z), and its parameters that depend on z, by name.
  window.vaeDecode = (z, y = state.y) => decode(...(y ? [z, y] : [z]));

  function drawImage(mean) {
    const {height, width, channels, white} = page.picture;
    picture.width = width;
    picture.height = height;
    picture.style.imageRendering = 'pixelated';
    const context = picture.getContext('2d');
    const image = context.createImageData(width, height);
    for (let i = 0; i < height * width; i++) {
      for (let c = 0; c < 3; c++) {
        const x = mean[i * channels + (channels === 3 ? c : 0)] / white;
        image.data[4 * i + c] = 255 * Math.min(1, Math.max(0, x));
      }
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  function drawBars(mean) {
    picture.width = 640;
    picture.height = 400;
    const context = picture.getContext('2d');
    const low = Math.min(page.picture.low, ...mean);
    const high = Math.max(page.picture.high, ...mean);
    const place = (x) => 20 + 360 * (high - x) / (high - low || 1);
    const width = 560 / mean.length;
    context.font = '22px sans-serif';
    context.fillStyle = getComputedStyle(document.body).color;
    context.fillText(high.toPrecision(2), 0, place(high) + 8);
    context.fillText(low.toPrecision(2), 0, place(low) + 8);
    context.fillRect(70, place(0), 560, 1);
    context.fillStyle = '#3f90da';
    mean.forEach((x, i) => {
      const left = 70 + i * width, gap = width > 4 ? 1 : 0;
      context.fillRect(left, place(x), width - gap, place(0) - place(x));
    });
  }

  const SIZE = 720, PAD = 30;
  const axes = () => [Number(find('x').value), Number(find('y').value)];
  const share = (unit, value) =>
    (value - page.low[unit]) / (page.high[unit] - page.low[unit]);
  const across = (unit, value) => PAD + (SIZE - 2 * PAD) * share(unit, value);
  const up = (unit, value) => SIZE - across(unit, value);

  function drawPlane() {
    plane.width = plane.height = SIZE;
    const context = plane.getContext('2d'), [x, y] = axes();
    context.globalAlpha = 0.7;
    const encoded = page.isEncoded ? page.examples : [];
    encoded.forEach((z, i) => {
      context.fillStyle = page.colours[i];
      context.beginPath();
      context.arc(across(x, z[x]), up(y, z[y]), 6, 0, 7);
      context.fill();
    });
    context.globalAlpha = 1;
    context.fillStyle = context.strokeStyle =
      getComputedStyle(document.body).color;
    context.font = '26px sans-serif';
    const text = (unit, value) => value[unit].toPrecision(2);
    context.fillText(text(x, page.low), PAD, SIZE - 6);
    context.fillText(text(y, page.high), 6, PAD - 6);
    context.fillText(text(y, page.low), 6, SIZE - PAD - 6);
    context.textAlign = 'right';
    context.fillText(text(x, page.high), SIZE - PAD, SIZE - 6);
    context.lineWidth = 3;
    const [left, top] = [across(x, state.z[x]), up(y, state.z[y])];
    context.beginPath();
    context.arc(left, top, 12, 0, 7);
    context.moveTo(left - 22, top);
    context.lineTo(left + 22, top);
    context.moveTo(left, top - 22);
    context.lineTo(left, top + 22);
    context.stroke();
  }

  function draw() {
    isPending = false;
    const {mean} = window.vaeDecode(state.z);
    if (page.picture.kind === 'image') drawImage(mean);
    else drawBars(mean);
    if (plane) drawPlane();
    for (const slider of sliders) {
      const value = state.z[Number(slider.dataset.unit)];
      slider.value = value;
      slider.previousElementSibling.textContent =
        page.isDiscrete ? value : value.toFixed(2);
    }
    if (find('class')) find('class').value = state.y[0];
  }

  // Several events between two frames are drawn once.
  function schedule() {
    if (!isPending) requestAnimationFrame(draw);
    isPending = true;
  }

  function set(unit, value) {
    const inside = Math.min(page.high[unit], Math.max(page.low[unit], value));
    state.z[unit] = page.isDiscrete ? Math.round(inside) : inside;
    find('status').textContent = '';
    schedule();
  }

  function show(example) {
    state.example = example;
    state.z = [...page.examples[example]];
    state.y = page.y && [...page.y[example]];
    const label = page.labels.length ? `, label ${page.labels[example]}` : '';
    const words = `${page.name} of a ${page.split} example${label}`;
    find('status').textContent = page.isEncoded ? words : '';
    schedule();
  }

  function point(event) {
    const box = plane.getBoundingClientRect(), [x, y] = axes();
    const value = (unit, share) => {
      const inner = (share * SIZE - PAD) / (SIZE - 2 * PAD);
      return page.low[unit] + inner * (page.high[unit] - page.low[unit]);
    };
    set(x, value(x, (event.clientX - box.left) / box.width));
    set(y, value(y, 1 - (event.clientY - box.top) / box.height));
  }

  function key(event) {
    const steps = {
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1],
      ArrowUp: [1, 1],
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [axis, sign] = steps[event.key], unit = axes()[axis];
    const range = page.high[unit] - page.low[unit];
    set(unit, state.z[unit] + sign * (page.isDiscrete ? 1 : range / 50));
  }

  for (const slider of sliders) {
    slider.addEventListener('input', () => {
      set(Number(slider.dataset.unit), Number(slider.value));
    });
  }
  if (plane) {
    plane.addEventListener('pointerdown', (event) => {
      plane.setPointerCapture(event.pointerId);
      point(event);
    });
    plane.addEventListener('pointermove', (event) => {
      if (event.buttons) point(event);
    });
    plane.addEventListener('keydown', key);
    find('x').addEventListener('change', schedule);
    find('y').addEventListener('change', schedule);
  }
  find('class')?.addEventListener('change', (event) => {
    state.y = [Number(event.target.value)];
    schedule();
  });
  find('reset').addEventListener('click', () => show(0));
  find('example').addEventListener('click', () => {
    show((state.example + 1) % page.examples.length);
  });
  find('example').hidden = page.examples.length < 2;
  show(0);
})();
