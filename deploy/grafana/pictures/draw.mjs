// node draw.mjs RECORD OUT CHROMIUM [BOARD...]: a picture of each dashboard, or of those named (overview, routes, ...).
// A board's name may be followed by the first and the last row of panels to show: overview/Objectives/Traffic.
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';

const [record, out, chromium, ...wanted] = process.argv.slice(2);
if (!chromium) {
  console.error('usage: node draw.mjs RECORD OUT CHROMIUM [BOARD[/FIRST ROW/LAST ROW]...]');
  process.exit(2);
}
const here = fileURLToPath(new URL('.', import.meta.url));
const data = JSON.parse(readFileSync(record, 'utf8'));
const asked = wanted.length ? wanted : data.boards.map((board) => board.uid.replace(/^trivet-/, ''));

/** Only the rows from the first to the last, moved up. */
function cut(board, first, last) {
  if (!first) { return board; }
  const rows = board.panels.filter((panel) => panel.type === 'row');
  const begin = rows.find((row) => row.title === first);
  const end = rows.find((row) => row.title === (last || first));
  if (!begin || !end) { throw new Error(`${board.title} has the rows ${rows.map((row) => row.title).join(', ')}`); }
  const after = rows[rows.indexOf(end) + 1]?.gridPos.y ?? Infinity;
  const kept = board.panels.filter(({ gridPos }) => gridPos.y >= begin.gridPos.y && gridPos.y < after);
  return { ...board, panels: kept.map((panel) => ({ ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y - begin.gridPos.y } })) };
}

// The libraries' modules are `.mjs`, for which a bundler takes the default export of a CommonJS module to be the whole module, as Node.js
// does. They were built for bundlers that look for `default` in it.
const defaults = {
  name: 'defaults',
  setup(bundle) {
    bundle.onResolve({ filter: /^react-(custom-scrollbars-2|highlight-words|inlinesvg|calendar|use|select|table)$/ }, (asked) => (
      asked.namespace === 'defaults' || !asked.importer.endsWith('.mjs') ? undefined : { path: asked.path, namespace: 'defaults', pluginData: asked.resolveDir }
    ));
    bundle.onLoad({ filter: /.*/, namespace: 'defaults' }, ({ path, pluginData }) => ({
      contents: `import * as all from '${path}'; export * from '${path}'; export default all.default ?? all;`, resolveDir: pluginData, loader: 'js',
    }));
  },
};
const { outputFiles } = await build({
  entryPoints: [join(here, 'app.jsx')], bundle: true, write: false, outdir: 'out', jsx: 'automatic', minify: true, logLevel: 'error',
  plugins: [defaults], nodePaths: [join(process.cwd(), 'node_modules')], conditions: ['module', 'browser'], define: { 'process.env.NODE_ENV': '"production"' },
  loader: { '.svg': 'dataurl', '.png': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl', '.ttf': 'dataurl' },
});
const script = outputFiles.find((file) => file.path.endsWith('.js')).text;
const style = outputFiles.filter((file) => file.path.endsWith('.css')).map((file) => file.text).join('\n');
const folder = mkdtempSync(join(tmpdir(), 'pictures-'));
writeFileSync(join(folder, 'app.js'), script);
const browser = await puppeteer.launch({ executablePath: chromium, args: ['--no-sandbox', '--disable-gpu', '--allow-file-access-from-files'] });
try {
  for (const one of asked) {
    const [name, first, last] = one.split('/');
    const found = data.boards.find((board) => board.uid === `trivet-${name}`);
    if (!found) { throw new Error(`no dashboard ${name}: expected one of ${data.boards.map((board) => board.uid)}`); }
    const picture = JSON.stringify({ board: cut(found, first, last), data: { from: data.from, to: data.to } }).replaceAll('<', '\\u003c');
    writeFileSync(join(folder, 'page.html'), `<!doctype html><meta charset="utf-8"><style>body{margin:0}.nothing{padding:16px;opacity:.6}${style}</style>
<div id="root"></div><script>window.picture=${picture};window.grafanaBootData={settings:{featureToggles:{}},user:{}};</script><script src="app.js"></script>`);
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`${name}: ${error.message}`));
    await page.setViewport({ width: 1200, height: 1000 });
    await page.goto(`file://${join(folder, 'page.html')}`);
    const board = await page.waitForSelector('#board', { timeout: 60000 });
    const { height } = await board.boundingBox();
    await page.setViewport({ width: 1200, height: Math.ceil(height) }); // of the whole board: a page that is scrolled comes out blank
    await new Promise((done) => setTimeout(done, 3000));
    await page.screenshot({ path: join(out, `${name}.png`) });
    await page.close();
    console.log(join(out, `${name}.png`));
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
