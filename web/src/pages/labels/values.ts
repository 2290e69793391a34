// Types of custom fields, and their default values as the form has them and as the server keeps them.
import { CustomFieldType, CustomFieldVisibility } from "@/gen/missioncontrol/board/v1/fields_pb";

/** Types by the word that the API takes. */
export const TYPES = {
  text: CustomFieldType.TEXT,
  text_long: CustomFieldType.TEXT_LONG,
  integer: CustomFieldType.INTEGER,
  decimal: CustomFieldType.DECIMAL,
  boolean: CustomFieldType.BOOLEAN,
  date: CustomFieldType.DATE,
  date_time: CustomFieldType.DATE_TIME,
  url: CustomFieldType.URL,
  json: CustomFieldType.JSON,
} as const;

/** The word of a type. */
export type TypeWord = keyof typeof TYPES;

/** The word of a type. */
export function typeWord(type: CustomFieldType): TypeWord {
  return (Object.entries(TYPES).find(([, value]) => value === type)?.[0] ?? "text") as TypeWord;
}

/** When a field is shown, by the word that the API takes. */
export const VISIBILITIES = { always: CustomFieldVisibility.ALWAYS, if_set: CustomFieldVisibility.IF_SET, hidden: CustomFieldVisibility.HIDDEN } as const;

/** The word of a visibility. */
export function visibilityWord(visibility: CustomFieldVisibility): keyof typeof VISIBILITIES {
  return (Object.entries(VISIBILITIES).find(([, value]) => value === visibility)?.[0] ?? "always") as keyof typeof VISIBILITIES;
}

/** Whether values of a type can have a pattern. */
export function takesPattern(type: TypeWord): boolean {
  return ["text", "text_long", "date", "date_time", "url"].includes(type);
}

/** A default as text for the form. */
export function defaultText(type: TypeWord, value: unknown): string {
  if (value === undefined || value === null) return "";
  if (type === "json") return JSON.stringify(value, null, 2);
  if (type === "date_time") {
    const at = new Date(String(value));
    if (Number.isNaN(at.getTime())) return "";
    const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
    return local.toISOString().slice(0, 16);
  }
  return String(value);
}

/** A default from the form; undefined when there is none. Throws when the text is no value of the type. */
export function defaultValue(type: TypeWord, text: string): unknown {
  if (text.trim() === "") return undefined;
  switch (type) {
    case "integer": {
      if (!/^[+-]?\d+$/.test(text.trim())) throw new Error(type);
      return Number(text);
    }
    case "decimal": {
      const value = Number(text.trim().replace(",", "."));
      if (!Number.isFinite(value)) throw new Error(type);
      return value;
    }
    case "boolean":
      return text === "true";
    case "json": {
      const value: unknown = JSON.parse(text);
      if (typeof value !== "object" || value === null) throw new Error(type);
      return value;
    }
    case "date_time":
      return new Date(text).toISOString();
    case "url":
      if (!/^https?:\/\/\S+$/i.test(text.trim())) throw new Error(type);
      return text.trim();
    default:
      return text;
  }
}

/** Whether a whole value matches a pattern; undefined when the pattern is none. */
export function matches(pattern: string, value: string): boolean | undefined {
  try {
    return new RegExp(`^(?:${pattern})$`, "u").test(value);
  } catch {
    return undefined;
  }
}

/** `Client name` to `client_name`. */
export function keyOf(label: string): string {
  return label
    .normalize("NFKD")
    .replace(/[̀-ͯ]/g, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "");
}
