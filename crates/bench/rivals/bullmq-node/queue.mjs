// COUNT jobs of 1 KiB: added in bulk, a few calls at once, then taken by a worker whose handler does nothing. Prints one line of JSON.
import { Queue, Worker } from "bullmq";
import Redis from "ioredis";

const BULK = 1000;
// As many as mailfleet has under way.
const AT_ONCE = 3;
const count = Number(process.env.COUNT);
const connect = () => new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
const seconds = (from) => (performance.now() - from) / 1000;

const queue = new Queue("bench", { connection: connect() });
const body = "x".repeat(1024);
let from = performance.now();
let next = 0;
const add = async () => {
  while (next < count) {
    const first = next;
    next += BULK;
    const jobs = Array.from({ length: Math.min(BULK, count - first) }, (_, i) => ({
      name: "mail",
      data: { n: first + i, body },
      opts: { removeOnComplete: true },
    }));
    await queue.addBulk(jobs);
  }
};
await Promise.all(Array.from({ length: AT_ONCE }, add));
const added = count / seconds(from);

let done = 0;
from = performance.now();
await new Promise((finished) => {
  const handler = async () => {
    done += 1;
    if (done === count) finished();
  };
  // A second worker makes it slower: the process has one thread for both.
  new Worker("bench", handler, { connection: connect(), concurrency: 100 });
});
const processed = count / seconds(from);
console.log(JSON.stringify({ add_per_second: added, process_per_second: processed }));
process.exit(0);
