import { expect, test } from "vitest";
import { fieldName } from "./form";

test.each([
  ["gateway_id", "gatewayId"],
  ["body.name", "name"],
  ["board_access.0.board_id", "boardAccess"],
  ["event_types[2]", "eventTypes"],
])("the violation of %s belongs to %s", (path, name) => {
  expect(fieldName(path)).toBe(name);
});
