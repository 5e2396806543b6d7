import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  globalIgnores(["dist/", "src/gen/"]),
  {
    files: ["src/**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/prefer-nullish-coalescing": "off", // An empty option means what an absent one does.
    },
  },
  {
    files: ["src/browser.ts", "src/browser/**/*.ts", "src/http/**/*.ts", "src/*.ts"],
    ignores: ["src/index.ts"],
    rules: {
      "no-restricted-imports": ["error", { patterns: [{ regex: "^node:|^[^.]|/node/|/grpc/|/gen/" }] }],
      "no-restricted-globals": ["error", "process", "Buffer"],
    },
  },
  {
    files: ["**/*.js", "**/*.mjs", "**/*.cjs"],
    extends: [tseslint.configs.recommended],
    rules: { "@typescript-eslint/no-require-imports": "off" },
  },
);
