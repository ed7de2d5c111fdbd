// Objects, texts, maps, buffers outside the JavaScript heap, compression on other threads, and workers.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const zlib = require('zlib');
const crypto = require('crypto');

function work(n, seed) {
  let state = seed;
  const number = () => (state = (state * 1103515245 + 12345) % 2147483648);
  const sum = crypto.createHash('sha256');
  for (let turn = 0; turn < n; turn++) {
    const table = new Map();
    for (let i = 0; i < 20000; i++) table.set('key' + (number() >> 12), { i, text: 'x'.repeat(i % 50), of: [i, i + 1] });
    const text = JSON.stringify([...table]);
    sum.update(text);
    sum.update(String(new Map(JSON.parse(text)).size));
    const buffers = [];
    for (let i = 0; i < 2000; i++) buffers.push(Buffer.alloc(1 + (number() % 20000), i & 255));
    sum.update(Buffer.concat(buffers));
    sum.update(zlib.inflateSync(zlib.deflateSync(text.slice(0, 400000))));
    sum.update(text.replace(/"key(\d+)"/g, (_, digits) => digits.length).slice(0, 10000));
  }
  return sum.digest('hex');
}

if (!isMainThread) {
  parentPort.postMessage(work(workerData.n, workerData.seed));
} else {
  const n = Number(process.argv[2]);
  console.log(work(n, 1));
  const workers = [2, 3].map(
    (seed) =>
      new Promise((resolve, reject) => {
        const worker = new Worker(__filename, { workerData: { n, seed } });
        worker.on('message', resolve);
        worker.on('error', reject);
      })
  );
  const packed = [1, 2, 3, 4].map(
    (i) =>
      new Promise((resolve, reject) =>
        zlib.gzip(Buffer.alloc(300000 * i, 'some text ' + i), (error, out) => (error ? reject(error) : resolve(out.length)))
      )
  );
  Promise.all([...workers, ...packed]).then((all) => all.forEach((one) => console.log(one)));
}
