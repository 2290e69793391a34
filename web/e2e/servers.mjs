// The database and the broker of a journey that may stop them, by the scripts that people use.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
const tool = (name, ...args) => run(new URL(`../../scripts/${name}`, import.meta.url).pathname, args);

export const database = {
  stop: () => tool("postgres", "stop", process.env.DATABASE_FOLDER),
  // At the port where everybody looks for it.
  start: () => tool("postgres", "start", process.env.DATABASE_FOLDER, new URL(process.env.DATABASE_URL).port),
};

export const broker = {
  /** As a crash ends it. */
  kill: () => tool("rabbitmq", "kill", process.env.BROKER_FOLDER),
  start: () => tool("rabbitmq", "start", process.env.BROKER_FOLDER),
};
