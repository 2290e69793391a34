// Components whose code comes when they are needed. React's own `lazy` keeps what has come back until its fallback was there for 300 ms; this
// shows it at once, and what is there already without a fallback at all.
import { type ComponentType, type ReactNode, useEffect, useState } from "react";

/** A component that is on its way until it is first shown. */
export interface Later<P> {
  (props: P): ReactNode;
  /** Brings the code before it is needed. Fails when it cannot be had; the next attempt asks again. */
  readonly load: () => Promise<void>;
}

/** The component of `load`; until it is there, `Waiting`, or nothing. A failure to bring it is for the nearest boundary. */
export function later<P extends object>(load: () => Promise<{ default: ComponentType<P> }>, Waiting?: ComponentType<P>): Later<P> {
  let known: ComponentType<P> | undefined;
  let coming: Promise<void> | undefined;
  const bring = () =>
    (coming ??= load().then(
      (module) => {
        known = module.default;
      },
      (error: unknown) => {
        coming = undefined;
        throw error;
      },
    ));
  function Place(props: P): ReactNode {
    const [Component, show] = useState(() => {
      if (!known) bring().catch(() => undefined);
      return known;
    });
    const [failure, fail] = useState<{ error: unknown }>();
    useEffect(() => {
      if (Component) return undefined;
      let there = true;
      bring().then(
        () => there && show(() => known),
        (error: unknown) => there && fail({ error }),
      );
      return () => {
        there = false;
      };
    }, [Component]);
    if (failure) throw failure.error;
    if (Component) return <Component {...props} />;
    return Waiting ? <Waiting {...props} /> : null;
  }
  return Object.assign(Place, { load: bring });
}
