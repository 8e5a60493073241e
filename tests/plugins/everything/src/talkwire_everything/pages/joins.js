// Joins the operator's page: counts what is told, where the page gives room.
export function join(page) {
  const told = document.createElement("output");
  page.bar.append(told);
  let count = 0;
  page.onFact(() => { told.value = `${++count} facts`; });
}
