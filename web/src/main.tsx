import "./styles.css";
import { start } from "./shell/app";
import { loadLanguage } from "./texts/catalogue";

// For `make bench-web`: the shell's code is here.
performance.mark("start");
void loadLanguage().then(() => start(document.getElementById("root") as HTMLElement));
