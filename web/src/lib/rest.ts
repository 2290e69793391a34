// Events carry resources in their REST form. This reads that form into the generated type, by the type's own description.
import { create, type DescField, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";

const encoder = new TextEncoder();

/** A message from its REST form; what is null or absent stays unset. */
export function fromRest<D extends DescMessage>(schema: D, json: unknown): MessageShape<D> {
  const message = create(schema);
  fill(reflect(schema, message), json);
  return message;
}

function fill(target: ReflectMessage, json: unknown): void {
  const fields = target.desc.fields;
  // A list that can be null is written as the bare list.
  if (Array.isArray(json)) {
    const only = fields.find((field) => field.fieldKind === "list");
    if (only?.fieldKind === "list") setList(target, only, json);
    return;
  }
  if (typeof json !== "object" || json === null) return;
  const values = json as Record<string, unknown>;
  for (const field of fields) {
    const value = values[field.name];
    if (value === undefined || value === null) continue;
    if (field.fieldKind === "list" && Array.isArray(value)) setList(target, field, value);
    else if (field.fieldKind === "map") setMap(target, field, value as Record<string, unknown>);
    else if (field.fieldKind !== "list") target.set(field, read(field, value));
  }
}

function setList(target: ReflectMessage, field: DescField & { fieldKind: "list" }, values: readonly unknown[]): void {
  const list = target.get(field);
  for (const value of values) list.add(read(field, value) as never);
}

function setMap(target: ReflectMessage, field: DescField & { fieldKind: "map" }, values: Record<string, unknown>): void {
  const map = target.get(field);
  for (const [key, value] of Object.entries(values)) map.set(key as never, value as never);
}

function read(field: DescField, value: unknown): never {
  if (field.message) {
    if (field.message.typeName === "google.protobuf.Timestamp") return reflect(field.message, timestampFromDate(new Date(String(value)))) as never;
    const inner = reflect(field.message);
    fill(inner, value);
    return inner as never;
  }
  if (field.enum) {
    const word = String(value).toUpperCase();
    const found = field.enum.values.find((candidate) => candidate.name.slice((field.enum?.sharedPrefix ?? "").length).toUpperCase() === word);
    return (found?.number ?? 0) as never;
  }
  if (field.scalar === 12) return encoder.encode(typeof value === "string" ? value : JSON.stringify(value)) as never;
  if (field.scalar === 3 || field.scalar === 4) return BigInt(value as number) as never;
  return value as never;
}

const decoder = new TextDecoder();

/** Free-form JSON of a field; undefined when unset or unreadable. */
export function json<T = unknown>(bytes: Uint8Array | undefined): T | undefined {
  if (!bytes || bytes.length === 0) return undefined;
  try {
    return JSON.parse(decoder.decode(bytes)) as T;
  } catch {
    return undefined;
  }
}

/** Free-form JSON for the wire. */
export function jsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return encoder.encode(JSON.stringify(value)) as Uint8Array<ArrayBuffer>;
}
