// Figures and elements for people. Every text goes into the page as a text, never as markup.

export const SVG = 'http://www.w3.org/2000/svg';

/** An element with attributes and children; a child that is no node becomes a text. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same of a picture. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, '');
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Three digits and a unit: `12.3 MiB`. */
export function bytes(n) {
  if (!Number.isFinite(n)) return '–';
  let size = Math.abs(n);
  let unit = 0;
  while (size >= 1000 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || size >= 100 ? 0 : 1;
  return `${n < 0 ? '−' : ''}${size.toFixed(digits)} ${UNITS[unit]}`;
}

/** Whole numbers with their thousands apart, by narrow spaces. */
export function count(n) {
  if (!Number.isFinite(n)) return '–';
  return Math.round(n).toString().replace('-', '−').replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}

/** A unit with its sign: for differences. */
export const signed = (unit) => (n) => (n > 0 ? `+${unit(n)}` : unit(n));

/** `45 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 ? ` ${s % 60} s` : ''}`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** Nanoseconds of a processor. */
export const processorTime = (ns) => (ns < 1e5 ? `${(ns / 1e3).toFixed(0)} µs` : `${(ns / 1e6).toFixed(1)} ms`);

/**
 * An estimate with half the width of its 95 % interval, or with its limits where they are not as far below as above: few samples.
 * What was counted has none. `width` is the unit of that half, if it is another.
 */
export function estimate(of, unit = bytes, width = unit) {
  if (of == null) return '–';
  const { value, low, high, exact } = of;
  if (exact || low == null || high - low < 0.5) return unit(value);
  const limits = `${unit(low)} to ${unit(high)}`;
  const isUneven = Math.abs(high + low - 2 * value) > (high - low) / 10;
  return el('span', { title: `95 %: ${limits}` }, unit(value), el('small', {}, isUneven ? ` (${limits})` : ` ± ${width((high - low) / 2)}`));
}

/** An estimate from a figure that is not negative and its standard error. */
export function around(value, error) {
  const half = 1.96 * error;
  return { value, low: Math.max(0, value - half), high: value + half, exact: half === 0 };
}

/** A function or tag, and where it stands. */
export function place(name, location) {
  return [el('code', { class: 'name' }, name), where(location)];
}

/** A file and a line. Where a crate lies on the disk says nothing, but is there when pointed at. */
export function where(location) {
  if (!location) return null;
  const short = location.replace(/^.*\/registry\/src\/[^/]+\//, '').replace(/^\/rustc\/[0-9a-f]+\//, '')
    .replace(/^\/.*?\/(?=[^/]+\/(src|tests|examples|benches)\/)/, '');
  return el('code', { class: 'location', title: short === location ? null : location }, short);
}

/** Shares of a whole as a bar: `[class, amount]`. Its label has the figures. */
export function bar(parts, className, unit = bytes) {
  const whole = parts.reduce((sum, [, amount]) => sum + amount, 0);
  const label = parts.filter(([, some]) => some > 0).map(([name, amount]) => `${name} ${unit(amount)}`).join(', ');
  const element = el('span', { class: className, role: 'img', 'aria-label': label, title: label });
  for (const [name, amount] of parts.filter(([, some]) => some > 0)) {
    const part = el('span', { class: name });
    // By script, because the policy refuses attributes.
    part.style.flexGrow = whole > 0 ? amount / whole : 0;
    element.append(part);
  }
  return element;
}
