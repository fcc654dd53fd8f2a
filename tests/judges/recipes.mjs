// The recipes for React and Vue: compiles their files in strict mode against the module's published types, and renders the component on a
// server, where there is no session yet. Answers what is rendered; what the compiler says ends the process.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { judge, part, resolve } from "./judge.mjs";

const modules = join(fileURLToPath(new URL("../../.tools/node/", import.meta.url)), "node_modules");
const own = fileURLToPath(new URL("../../clients/js", import.meta.url));

/** The script of a component, with its template compiled into it. */
async function script(text, ssr) {
  const { compileScript, parse } = await part("@vue/compiler-sfc");
  const { descriptor, errors } = parse(text);
  if (errors.length > 0) throw errors[0];
  return compileScript(descriptor, { id: "chat", inlineTemplate: true, templateOptions: { ssr, ssrCssVars: [] } }).content;
}

const render = {
  async react({ Chat }) {
    const { createElement } = await part("react");
    return (await part("react-dom/server")).renderToStaticMarkup(createElement(Chat));
  },
  async vue({ default: Chat }) {
    const { createSSRApp } = await part("vue");
    return (await part("vue/server-renderer")).renderToString(createSSRApp(Chat));
  },
};

judge(async ({ framework, files }) => {
  const folder = mkdtempSync(join(tmpdir(), "recipe-"));
  try {
    mkdirSync(join(folder, "node_modules/@sidemint"), { recursive: true });
    symlinkSync(own, join(folder, "node_modules/@sidemint/chat-session"));
    for (const name of ["react", "vue", "@types", "@vue"]) symlinkSync(join(modules, name), join(folder, "node_modules", name));
    const sources = [];
    for (const [name, text] of Object.entries(files)) {
      const source = name.replace(/\.vue$/, ".ts");
      writeFileSync(join(folder, source), name === source ? text : await script(text, true));
      sources.push(source);
    }
    const compilerOptions = { strict: true, target: "es2022", module: "esnext", moduleResolution: "bundler", jsx: "react-jsx", lib: ["es2022", "dom"], types: [], skipLibCheck: true, outDir: "out", rootDir: "." };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: sources }));
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    try {
      execFileSync(process.execPath, [join(dirname(resolve("typescript/package.json")), "bin/tsc"), "--project", folder], { encoding: "utf8" });
    } catch ({ stdout }) {
      throw new Error(stdout);
    }
    // A bundler finds files without their ending; Node does not.
    for (const source of sources) {
      const file = join(folder, "out", source.replace(/\.tsx?$/, ".js"));
      writeFileSync(file, readFileSync(file, "utf8").replaceAll('"./useChatSession"', '"./useChatSession.js"'));
    }
    const component = await import(pathToFileURL(join(folder, "out/Chat.js")).href);
    return { rendered: await render[framework](component) };
  } finally {
    rmSync(folder, { recursive: true });
  }
});
