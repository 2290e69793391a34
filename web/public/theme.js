// Before the first paint: the chosen theme, so that nothing flashes. The system's theme needs no script.
try {
  const theme = localStorage.getItem("mc.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  if (localStorage.getItem("mc.sidebar") === "closed") document.documentElement.dataset.sidebar = "closed";
} catch {
  // Storage is closed to this page: the system's theme it is.
}
