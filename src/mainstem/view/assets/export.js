/** Tables and pictures as files of the reader's. */

/** @param {string} name @param {Blob} blob */
export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {string} name @param {string} text */
export function saveText(name, text) {
  save(name, new Blob([text], { type: name.endsWith(".svg") ? "image/svg+xml" : "text/csv;charset=utf-8" }));
}

/** A table as CSV. @param {Record<string, unknown>[]} rows the first has all columns */
export function csv(rows) {
  const columns = Object.keys(rows[0] ?? {});
  const field = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((column) => row[column]))].map((row) => `${row.map(field).join(",")}\n`).join("");
}

/**
 * An SVG as a PNG of twice its size.
 * @param {string} name
 * @param {string} svg
 * @param {number} wide
 * @param {number} high
 */
export async function savePng(name, svg, wide, high) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * wide, 2 * high];
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob) save(name, blob);
}
