// Tables that are sorted by a click, or by Enter, on the head of a column.

import { el } from './text.js';

/**
 * A table inside `box`. Each column has a `label`, what a row is sorted by (`by`), and what its cell shows (`cell`, by default
 * the same); the first column names the row. Returns a function that shows other rows, in the order that was chosen last.
 */
export function table(box, caption, columns, { sorted = null, empty = 'Nothing yet.' } = {}) {
  const order = { column: columns.find((c) => c.label === sorted) ?? null, down: true };
  const body = el('tbody');
  const heads = columns.map((column) => head(column));
  const shown = el('table', {}, el('caption', { class: 'unseen' }, caption), el('thead', {}, el('tr', {}, heads)), body);
  const nothing = el('p', { class: 'quiet' }, empty);
  let rows = [];

  function head(column) {
    if (!column.by) return el('th', { scope: 'col', class: column.number ? 'number' : null, title: column.about }, column.label);
    const button = el('button', { type: 'button', title: column.about }, column.label);
    button.addEventListener('click', () => {
      // Numbers are looked at from the largest down, names from the first on.
      order.down = order.column === column ? !order.down : Boolean(column.number);
      order.column = column;
      render();
    });
    return el('th', { scope: 'col', class: column.number ? 'number' : null }, button);
  }

  function render() {
    columns.forEach((column, i) => {
      if (!column.by) return;
      const how = order.down ? 'descending' : 'ascending';
      heads[i].setAttribute('aria-sort', column === order.column ? how : 'none');
    });
    const all = [...rows];
    if (order.column) all.sort((a, b) => compare(order.column.by(a), order.column.by(b)) * (order.down ? -1 : 1));
    body.replaceChildren(...all.map((row) => el('tr', {}, columns.map((column, i) => cell(column, row, i)))));
    shown.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
  }

  box.replaceChildren(el('div', { class: 'scroll' }, shown), nothing);
  render();
  return (others) => {
    rows = others ?? [];
    render();
  };
}

function cell(column, row, i) {
  const content = (column.cell ?? column.by)(row) ?? '–';
  const className = column.number ? 'number' : null;
  // A narrow screen shows the label beside the figure.
  return i === 0 ? el('th', { scope: 'row' }, content) : el('td', { class: className, 'data-label': column.label }, content);
}

function compare(a, b) {
  if (typeof a === 'string' || typeof b === 'string') return String(a).localeCompare(String(b));
  return (a ?? -Infinity) - (b ?? -Infinity) || 0;
}
