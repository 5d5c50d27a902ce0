/** Which cells of a long table are seen, so that only those are drawn. */

/**
 * @param {number} scrolled pixels
 * @param {number} seen pixels
 * @param {number} size of one cell
 * @param {number} count of cells
 * @param {number} [beyond] cells drawn on either side
 * @returns {[number, number]} the first, and the one behind the last
 */
export function span(scrolled, seen, size, count, beyond = 3) {
  const first = Math.max(0, Math.floor(scrolled / size) - beyond);
  const end = Math.min(count, Math.ceil((scrolled + seen) / size) + beyond);
  return [Math.min(first, count), Math.max(end, Math.min(first, count))];
}

/**
 * How far to scroll so that a cell is wholly seen; as it is where it is.
 * @param {number} scrolled
 * @param {number} seen
 * @param {number} size
 * @param {number} index
 */
export function shown(scrolled, seen, size, index) {
  if (index * size < scrolled) return index * size;
  return (index + 1) * size > scrolled + seen ? (index + 1) * size - seen : scrolled;
}

/**
 * Where a key leads from a cell; null for another key.
 * @param {string} key
 * @param {[number, number]} at row and column
 * @param {[number, number]} counts
 * @param {number} [leap] columns of a page
 * @returns {[number, number] | null}
 */
export function moved(key, [row, column], [rows, columns], leap = 10) {
  const to = {
    ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
    Home: [row, 0], End: [row, columns - 1], PageUp: [row, column - leap], PageDown: [row, column + leap],
  }[key];
  return to ? [Math.min(Math.max(to[0], 0), rows - 1), Math.min(Math.max(to[1], 0), columns - 1)] : null;
}
