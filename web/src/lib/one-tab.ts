// A stream that the change stream does not carry, held by one tab for all: a browser gives an origin six connections only.

const FIRST_RETRY = 500;
const LAST_RETRY = 15_000;

/**
 * Runs `listen` in one of the tabs that hold `name`, again whenever it ends, and hands what it tells to all of them; `again` is called after
 * every interruption. Answers how to stop.
 */
export function inOneTab<T>(name: string, listen: (tell: (value: T) => void, signal: AbortSignal) => Promise<void>, hear: (value: T) => void, again: () => void): () => void {
  const control = new AbortController();
  const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(`mc.${name}`);
  if (channel) channel.onmessage = (event: MessageEvent<T>) => hear(event.data);
  const tell = (value: T) => {
    channel?.postMessage(value);
    hear(value);
  };
  const hold = async () => {
    for (let attempt = 0; !control.signal.aborted; attempt += 1) {
      if (attempt > 0) again();
      const began = Date.now();
      await listen(tell, control.signal).catch(() => undefined);
      if (Date.now() - began > LAST_RETRY) attempt = 0;
      await pause(Math.min(LAST_RETRY, FIRST_RETRY * 2 ** attempt) * (0.5 + Math.random() / 2), control.signal);
    }
  };
  // Where there are no locks, each tab has its own.
  const { locks } = navigator as Partial<Navigator>;
  const held = locks ? locks.request(`mc.${name}`, { signal: control.signal }, hold) : hold();
  void Promise.resolve(held).catch(() => undefined);
  return () => {
    control.abort();
    channel?.close();
  };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
