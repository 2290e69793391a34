import { KeyList } from "./key-list";

/** Keys that act in the organization. */
export default function Keys() {
  return <KeyList whose="organization" />;
}
