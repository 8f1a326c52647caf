import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { SpeechProvider } from "./i18n/context";
import "./index.css";
import { followTheme } from "./theme";
import { App } from "./ui/App";

followTheme();

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <SpeechProvider>
      <App />
    </SpeechProvider>
  </StrictMode>,
);
