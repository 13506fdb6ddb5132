// How the search ranks pages: as Sphinx does, but that a page of the reference in whose text the words merely occur
// comes after a page that explains things.
var Scorer = {
  score: ([docname, title, anchor, descr, score, filename, kind]) =>
    kind === "text" && docname.startsWith("api/generated/") ? score - 2 : score,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
