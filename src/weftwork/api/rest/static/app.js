// Shows the OpenAPI document and makes calls by it. Text only ever becomes text: nothing of the document is run.
"use strict";

const EVENT_BYTES_SHOWN = 20000;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function resolved(schema, api) {
  if (!schema || !schema.$ref) return schema || {};
  return api.components.schemas[schema.$ref.split("/").pop()];
}

// What a body may look like: the fields that are needed, or else all that are simple.
function example(schema, api, depth = 0) {
  const found = resolved(schema, api);
  if (found.anyOf) return example(found.anyOf[0], api, depth);
  if (found.enum) return found.enum[found.enum.length > 1 ? 1 : 0];
  switch (found.type) {
    case "object": {
      const names = found.required || (found.maxProperties === 1 ? [] : Object.keys(found.properties || {}));
      return Object.fromEntries(names.map((name) => [name, depth > 3 ? null : example(found.properties[name], api, depth + 1)]));
    }
    case "array": return depth > 2 ? [] : [example(found.items, api, depth + 1)];
    case "integer": case "number": return found.minimum || 0;
    case "boolean": return false;
    default: return "";
  }
}

function inputFor(parameter) {
  const schema = parameter.schema.type === "array" ? parameter.schema.items : parameter.schema;
  if (schema.enum || schema.type === "boolean") {
    const choices = schema.enum || ["true", "false"];
    return element("select", {}, ...["", ...choices].map((one) => element("option", { value: one }, one)));
  }
  return element("input", { autocomplete: "off" });
}

function parameterTable(parameters, inputs) {
  const rows = parameters.map((parameter) => {
    const input = inputFor(parameter);
    inputs.push([parameter, input]);
    if (parameter.name === "org_id" || parameter.name === "project_id") {
      input.placeholder = "as above";
    }
    const name = element("td", { class: parameter.required ? "needed" : "" }, element("code", {}, parameter.name));
    return element("tr", {}, name, element("td", {}, input), element("td", {}, parameter.description || ""));
  });
  return element("table", {}, ...rows);
}

function addressOf(path, inputs) {
  const query = new URLSearchParams();
  const headers = new Headers({ Accept: "application/json, text/event-stream" });
  let address = path;
  for (const [parameter, input] of inputs) {
    const shared = document.getElementById(parameter.name);
    const value = input.value || (parameter.in === "path" && shared ? shared.value : "");
    if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value && parameter.in === "query") query.append(parameter.name, value);
    else if (value && parameter.in === "header") headers.set(parameter.name, value);
  }
  const token = document.getElementById("token").value;
  if (token) headers.set("Authorization", `Bearer ${token}`);
  return [query.size ? `${address}?${query}` : address, headers];
}

async function call(verb, path, inputs, body, shown, signal) {
  const [address, headers] = addressOf(path, inputs);
  if (body !== null) headers.set("Content-Type", "application/json");
  shown.textContent = `${verb} ${address}\n…`;
  try {
    const answer = await fetch(address, { method: verb, headers, body, signal });
    const told = ["etag", "retry-after"].filter((one) => answer.headers.get(one));
    const head = [`${verb} ${address}`, `${answer.status} ${answer.statusText}`,
      ...told.map((one) => `${one}: ${answer.headers.get(one)}`), "", ""].join("\n");
    if ((answer.headers.get("content-type") || "").startsWith("text/event-stream")) {
      return await follow(answer, head, shown);
    }
    const text = await answer.text();
    shown.textContent = head + (text ? JSON.stringify(JSON.parse(text), null, 2) : "");
  } catch (error) {
    shown.textContent += `\n${error}`;
  }
}

async function follow(answer, head, shown) {
  const decoder = new TextDecoder();
  let text = "";
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return;
    text = (text + decoder.decode(value, { stream: true })).slice(-EVENT_BYTES_SHOWN);
    shown.textContent = head + text;
  }
}

function operationView(verb, path, operation, api) {
  const inputs = [];
  const shown = element("pre", { class: "hidden", "aria-live": "polite" });
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  const body = content ? element("textarea", { spellcheck: "false", "aria-label": "body" }) : null;
  if (body) body.value = JSON.stringify(example(content.schema, api), null, 2);
  const send = element("button", { type: "button" }, "Send");
  let running = null;
  send.addEventListener("click", () => {
    if (running) running.abort();
    running = new AbortController();
    shown.classList.remove("hidden");
    call(verb, path, inputs, body ? body.value : null, shown, running.signal);
  });
  const refusals = Object.entries(operation.responses).map(([status, one]) => `${status} ${one.description}`);
  const view = element("details", { id: operation.operationId },
    element("summary", {}, element("span", { class: `verb ${verb}` }, verb), element("code", {}, path), " ", operation.summary),
    element("p", {}, operation.description || ""),
    parameterTable(operation.parameters || [], inputs));
  if (body) view.append(body);
  view.append(element("p", {}, send), shown,
    element("details", {}, element("summary", {}, "answers"), ...refusals.map((one) => element("div", {}, one))));
  return view;
}

function show(api) {
  document.getElementById("about").textContent = api.info.description;
  const main = document.getElementById("operations");
  main.replaceChildren();
  for (const tag of api.tags) {
    const section = element("section", {}, element("h2", {}, tag.name));
    for (const [path, verbs] of Object.entries(api.paths)) {
      for (const [verb, operation] of Object.entries(verbs)) {
        if (operation.tags[0] === tag.name) section.append(operationView(verb.toUpperCase(), path, operation, api));
      }
    }
    main.append(section);
  }
  document.body.dataset.ready = "yes";
}

document.getElementById("find").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const view of document.querySelectorAll("section > details")) {
    view.classList.toggle("hidden", !view.firstChild.textContent.toLowerCase().includes(wanted));
  }
});
document.getElementById("values").addEventListener("submit", (event) => event.preventDefault());

fetch("/v1/openapi.json").then((answer) => answer.json()).then(show).catch((error) => {
  document.getElementById("operations").textContent = `The document cannot be read: ${error}`;
});
