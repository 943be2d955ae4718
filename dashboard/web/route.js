// Where the page is, in the hash: #/failures?source=1&key=…, so that each view
// can be linked, and the browser's own history works.

export const views = ["overview", "tasks", "workers", "stages", "failures"];

export function parse(hash) {
  const [, path, query] = /^#?\/?([^?]*)\??(.*)$/s.exec(hash);
  const view = views.includes(path) ? path : "overview";
  const params = Object.fromEntries(new URLSearchParams(query));
  const source = Number.parseInt(params.source, 10);
  return { view, source: source > 0 ? source : 0, params };
}

// href is a link to a view of a source. Empty parameters are left out.
export function href(view, source, params = {}) {
  const query = new URLSearchParams();
  if (source > 0) query.set("source", source);
  for (const [name, value] of Object.entries(params)) {
    if (name !== "source" && value != null && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}

// change is the present place with some parameters replaced.
export const change = (route, params) => href(route.view, route.source, { ...route.params, ...params });

// go moves there. A replaced place leaves no trace in the history: it is for
// what changes with each key press.
export function go(to, replace = false) {
  if (to === location.hash) return;
  if (!replace) {
    location.hash = to;
    return;
  }
  history.replaceState(null, "", to);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
