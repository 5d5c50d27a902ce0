/** The columns of a long prompt's grid: asked for when they are seen, and kept. */

const STRETCH = 24; // columns of one question: about a screen, so that another one does not wait long
const REST = 80; // milliseconds that the grid stands still before columns are asked for

/**
 * The first stretch of the columns that are seen and not known.
 * @param {(position: number) => boolean} known
 * @param {[number, number]} seen the first, and the one behind the last
 * @param {number} [most]
 * @returns {[number, number] | null}
 */
export function missing(known, [left, right], most = STRETCH) {
  let first = left;
  while (first < right && known(first)) first++;
  let end = first;
  while (end < right && end < first + most && !known(end)) end++;
  return first < end ? [first, end] : null;
}

/**
 * Puts columns into a grid's record; their words go behind those that it has.
 * @param {any} record
 * @param {any} some the answer to prompt.columns
 */
export function fill(record, some) {
  const words = record.words.length;
  for (const word of some.words) record.words.push(word);
  some.target.forEach((word, i) => { record.target[some.first + i] = words + word; });
  some.top.forEach((row, p) => row.forEach((word, i) => { record.top[p][some.first + i] = words + word; }));
  for (const key of ["prob", "logprob", "rank", "entropy", "kl"]) some[key].forEach((row, p) => row.forEach((value, i) => { record[key][p][some.first + i] = value; }));
}

/** Whether a grid has a column. @param {any} record @param {number} position */
export function isKnown(record, position) {
  return record.target[position] !== undefined;
}

/**
 * Asks for columns as they are seen. One question runs at a time; it is given up where none of its columns are seen any more.
 * @param {any} record
 * @param {(first: number, end: number) => Promise<any>} ask undefined where there was no answer
 * @param {() => void} came
 */
export function columnsOf(record, ask, came) {
  /** @type {[number, number]} */
  let seen = [0, 0];
  /** @type {[number, number] | null} */
  let open = null;
  let rest = 0;
  let closed = false;
  const known = (position) => isKnown(record, position);

  const next = async () => {
    const wanted = missing(known, seen);
    if (closed || !wanted || (open && open[0] < seen[1] && open[1] > seen[0])) return;
    open = wanted;
    const some = await ask(...wanted);
    if (open !== wanted || closed) return;
    open = null;
    if (!some) return;
    fill(record, some);
    came();
    void next();
  };
  return {
    /** @param {[number, number]} columns */
    see(columns) {
      seen = columns;
      clearTimeout(rest);
      if (missing(known, seen)) rest = window.setTimeout(() => void next(), REST);
    },
    /** Columns that are needed whether or not they are seen, a stretch after the other. @param {number} first @param {number} end */
    async have(first, end) {
      for (let wanted = missing(known, [first, end]); wanted && !closed; wanted = missing(known, [first, end])) {
        const some = await ask(...wanted);
        if (!some) return false;
        fill(record, some);
        came();
      }
      return true;
    },
    close() {
      closed = true;
      clearTimeout(rest);
    },
  };
}
