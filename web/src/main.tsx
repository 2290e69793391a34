import "./styles.css";
import { start } from "./shell/app";
import { loadLanguage } from "./texts/catalogue";

void loadLanguage().then(() => start(document.getElementById("root") as HTMLElement));
