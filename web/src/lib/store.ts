// The smallest store there is: a value that components can watch.
import { useSyncExternalStore } from "react";

/** A value that changes and tells. */
export class Store<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get = (): T => this.#value;

  set(next: T | ((value: T) => T)): void {
    const value = typeof next === "function" ? (next as (value: T) => T)(this.#value) : next;
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of this.#listeners) listener();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
}

/** The value of a store, kept current. */
export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.get);
}

/** What the browser keeps for this origin; nothing is kept where storage is closed. */
export const kept = {
  get(key: string): string | null {
    try {
      return localStorage.getItem(`mc.${key}`);
    } catch {
      return null;
    }
  },
  set(key: string, value: string | null): void {
    try {
      if (value === null) localStorage.removeItem(`mc.${key}`);
      else localStorage.setItem(`mc.${key}`, value);
    } catch {
      // Closed or full: it is for this visit only.
    }
  },
};
