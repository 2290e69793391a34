// A wire between the browser and the port that can be cut, as a network or a restart does it.
import { connect, createServer } from "node:net";

/** A wire to `target` (`http://host:port`). */
export async function wire(target) {
  const { hostname, port } = new URL(target);
  const sockets = new Set();
  let server;
  let own = 0;
  const listen = () =>
    new Promise((resolve, reject) => {
      server = createServer((browser) => {
        const far = connect({ host: hostname, port: Number(port), noDelay: true });
        browser.setNoDelay(true);
        browser.on("data", (chunk) => {
          if (chunk.includes("/WatchActivity")) browser.isStream = true;
        });
        for (const [one, other] of [[browser, far], [far, browser]]) {
          sockets.add(one);
          one.pipe(other);
          one.on("error", () => other.destroy());
          one.on("close", () => {
            sockets.delete(one);
            other.destroy();
          });
        }
      });
      server.on("error", reject);
      server.listen(own, "127.0.0.1", () => {
        own = server.address().port;
        resolve();
      });
    });
  await listen();
  return {
    url: `http://127.0.0.1:${own}`,
    /** Streams of changes that are open now. */
    streams: () => [...sockets].filter((socket) => socket.isStream).length,
    cut: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    mend: listen,
  };
}
