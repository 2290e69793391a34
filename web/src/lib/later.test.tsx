import { act, Component, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, expect, test } from "vitest";
import { later } from "./later";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

const roots: Root[] = [];
afterEach(() => act(() => roots.splice(0).forEach((root) => root.unmount())));

function mount(content: ReactNode): HTMLElement {
  const place = document.createElement("div");
  const root = createRoot(place, { onCaughtError: () => undefined });
  roots.push(root);
  act(() => root.render(content));
  return place;
}

const settle = () => act(async () => {});
const Name = ({ name }: { name: string }) => <b>{name}</b>;

class Caught extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  override render() {
    return this.state.error ? <button onClick={() => this.setState({ error: undefined })}>{this.state.error.message}</button> : this.props.children;
  }
}

test("what is on its way has a stand-in, and what is there is drawn at once", async () => {
  const Place = later(async () => ({ default: Name }), ({ name }) => <i>{name}</i>);
  const first = mount(<Place name="Ada" />);
  expect(first.innerHTML).toBe("<i>Ada</i>");
  await settle();
  expect(first.innerHTML).toBe("<b>Ada</b>");
  expect(mount(<Place name="Grace" />).innerHTML).toBe("<b>Grace</b>");
});

test("what was brought before it is shown has no stand-in", async () => {
  const Place = later(async () => ({ default: Name }));
  await Place.load();
  expect(mount(<Place name="Ada" />).innerHTML).toBe("<b>Ada</b>");
});

test("a failure is for the boundary, and the next attempt asks again", async () => {
  let attempts = 0;
  const Place = later(async () => {
    attempts += 1;
    if (attempts === 1) throw new Error("gone");
    return { default: Name };
  });
  const place = mount(
    <Caught>
      <Place name="Ada" />
    </Caught>,
  );
  await settle();
  expect(place.textContent).toBe("gone");
  act(() => place.querySelector("button")?.click());
  await settle();
  expect(place.innerHTML).toBe("<b>Ada</b>");
  expect(attempts).toBe(2);
});
