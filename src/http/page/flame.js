// The flame graph: a tree of frames, the outermost at the top, each as wide as what it and all that it called hold.

import { el, svg } from './text.js';

const ROW = 20;
/** Pixels below which a frame is not drawn, and below which it has no name. */
const NARROWEST = 1;
const NAMED = 34;
/** About how wide a character is. */
const CHARACTER = 6.7;
const COLOURS = 8;

/** A flame graph inside `box`; `changed` is told what it shows: `{ zoomed }`. */
export class Flame {
  constructor(box, changed) {
    this.box = box;
    this.changed = changed;
    this.root = null;
    /** Names from the root's children down to the frame that fills the picture. */
    this.path = [];
    this.needle = '';
    box.addEventListener('click', (event) => this.zoomTo(frameAt(event.target)));
    box.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(box);
  }

  /** Another tree; what was zoomed into stays so if it is still there. */
  show(root, unit) {
    this.root = root;
    this.unit = unit;
    link(root, null);
    this.draw();
  }

  /** Marks frames whose name contains a text, in any case. Returns the frames and their share of what is shown. */
  search(needle) {
    this.needle = needle.toLowerCase();
    this.draw();
    if (!this.needle || !this.root) return null;
    const whole = this.zoomed();
    let frames = 0;
    const within = (frame, inside) => {
      const hit = this.hit(frame);
      frames += hit;
      const below = frame.children.reduce((sum, child) => sum + within(child, inside || hit), 0);
      // What is in a hit counts once.
      return hit && !inside ? frame.value : below;
    };
    const value = within(whole, false);
    return { frames, share: whole.value ? value / whole.value : 0 };
  }

  hit(frame) {
    return this.needle !== '' && frame.name.toLowerCase().includes(this.needle);
  }

  reset() {
    this.path = [];
    this.draw();
  }

  /** The frame that fills the picture. */
  zoomed() {
    let at = this.root;
    for (const [i, name] of this.path.entries()) {
      const next = at.children.find((child) => child.name === name);
      if (!next) {
        this.path.length = i;
        break;
      }
      at = next;
    }
    return at;
  }

  zoomTo(frame) {
    if (!frame) return;
    this.path = [];
    for (let at = frame; at.parent; at = at.parent) this.path.unshift(at.name);
    this.draw(frame);
  }

  key(event) {
    const frame = frameAt(event.target);
    if (event.key === 'Escape' && this.path.length) {
      this.zoomTo(this.zoomed().parent ?? this.root);
    } else if (!frame) {
      return;
    } else if (event.key === 'Enter' || event.key === ' ') {
      this.zoomTo(frame);
    } else {
      const siblings = (frame.parent?.children ?? [frame]).filter((sibling) => sibling.element);
      const beside = (step) => siblings[siblings.indexOf(frame) + step];
      const firstDrawn = () => frame.children.find((child) => child.element);
      const moves = {
        ArrowUp: () => frame.parent, ArrowDown: firstDrawn, ArrowLeft: () => beside(-1), ArrowRight: () => beside(1),
      };
      const next = moves[event.key]?.();
      if (!next?.element) return;
      this.focus(next);
    }
    event.preventDefault();
  }

  /** One frame at a time can be reached with Tab, the others from it. */
  focus(frame) {
    this.box.querySelector('[tabindex="0"]')?.setAttribute('tabindex', '-1');
    frame.element.setAttribute('tabindex', '0');
    frame.element.focus();
  }

  /** Draws all anew; `focused` has the focus then, if anything in the picture had it. */
  draw(focused) {
    const width = this.box.clientWidth;
    if (!this.root || width === 0) return;
    const had = this.box.contains(document.activeElement) ? frameAt(document.activeElement) : null;
    each(this.root, (frame) => { frame.element = null; });
    if (!(this.root.value > 0)) {
      this.box.replaceChildren(el('p', { class: 'quiet' }, 'Nothing is tracked yet.'));
      return;
    }
    const zoomed = this.zoomed();
    const picture = svg('svg', { role: 'group', 'aria-label': 'Flame graph', width, class: 'flames' });
    let depth = 0;
    // What the frame was called by fills the width above it.
    const above = [];
    for (let at = zoomed.parent; at; at = at.parent) above.unshift(at);
    for (const frame of above) picture.append(this.frame(frame, 0, width, depth++, 'above'));
    let deepest = depth;
    const below = (frame, x, w, y) => {
      if (w < NARROWEST) return;
      deepest = Math.max(deepest, y);
      picture.append(this.frame(frame, x, w, y, ''));
      let at = x;
      for (const child of frame.children) {
        const part = (w * child.value) / frame.value;
        below(child, at, part, y + 1);
        at += part;
      }
    };
    below(zoomed, 0, width, depth);
    picture.setAttribute('height', (deepest + 1) * ROW);
    this.box.replaceChildren(picture);
    const first = [focused, had && byPath(this.root, had), zoomed].find((frame) => frame?.element);
    first.element.setAttribute('tabindex', '0');
    if (had || focused) first.element.focus({ preventScroll: true });
    this.changed({ zoomed: this.path.length > 0 });
  }

  frame(frame, x, width, depth, kind) {
    const share = ((100 * frame.value) / this.root.value).toFixed(frame.value === this.root.value ? 0 : 1);
    const label = `${frame.name}: ${this.unit(frame.value)}, ${share} %`;
    const letters = Math.floor((width - 8) / CHARACTER);
    const name = frame.name.length <= letters ? frame.name : `${frame.name.slice(0, Math.max(0, letters - 1))}…`;
    const classes = ['frame', `c${colour(frame.name)}`, kind, depth % 2 ? 'odd' : '', this.hit(frame) ? 'hit' : ''].join(' ');
    const group = svg('g', { class: classes, tabindex: '-1', role: 'button', 'aria-label': label },
      svg('title', {}, label),
      svg('rect', { x, y: depth * ROW, width: Math.max(0.5, width - 1), height: ROW - 1, rx: 2 }),
      width >= NAMED ? svg('text', { x: x + 4, y: depth * ROW + 14 }, name) : null);
    group.frame = frame;
    frame.element = group;
    return group;
  }
}

const frameAt = (node) => node.closest?.('.frame')?.frame ?? null;

function each(frame, f) {
  f(frame);
  frame.children.forEach((child) => each(child, f));
}

function link(frame, parent) {
  frame.parent = parent;
  frame.children.forEach((child) => link(child, frame));
}

/** The frame of another tree that stands where this one does. */
function byPath(root, frame) {
  if (!frame.parent) return root;
  return byPath(root, frame.parent)?.children.find((child) => child.name === frame.name) ?? null;
}

/** The same function has the same colour in each picture; its crate decides. */
function colour(name) {
  const crate = name.replace(/^<?&?(mut |dyn )*/, '').split('::')[0];
  let hash = 0;
  for (const character of crate) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return hash % COLOURS;
}
