// The page's scripts and their tests. Run with `make lint`; types are tsconfig.json's.
import js from "@eslint/js";
import globals from "globals";

const rules = {
  "no-unused-vars": ["error", { args: "all", argsIgnorePattern: "^_" }],
  "eqeqeq": "error",
  "prefer-const": "error",
  "no-var": "error",
  "no-shadow": "error",
  "no-eval": "error",
  "no-implied-eval": "error",
  "no-new-func": "error",
  "no-console": "error",
  "no-param-reassign": "error",
  "no-return-assign": "error",
  "no-throw-literal": "error",
  "no-self-compare": "error",
  "no-useless-return": "error",
  "no-implicit-coercion": ["error", { boolean: true, number: false, string: true }],
  "object-shorthand": "error",
  "prefer-template": "error",
  "array-callback-return": "error",
  "default-param-last": "error",
  "dot-notation": "error",
  "no-alert": "error",
  "no-restricted-properties": ["error", ...["innerHTML", "outerHTML", "insertAdjacentHTML"].map((property) => ({ property, message: "text nodes only: see dom.js" }))],
};

export default [
  { ignores: ["**/*", "!src/**", "!tests/**", "!eslint.config.js"] },
  js.configs.recommended,
  { rules, linterOptions: { reportUnusedDisableDirectives: "error" } },
  { files: ["src/mainstem/view/assets/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["tests/view/js/*.mjs"], languageOptions: { globals: globals.nodeBuiltin } },
];
