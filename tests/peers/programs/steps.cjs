// How a program for Node tells what its calls gave, as steps.py does for Python: one JSON object, by the name of the
// step. A step that fails is told as {"failed": …}, and the next one goes on.
const path = require("node:path");

const FOLDER = process.argv[2];
const FACTS = require("./facts.json");
const { question: QUESTION, answer: ANSWER, texts: TEXTS, like_second: LIKE_SECOND } = FACTS;

const product = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);

// Of vectors of TEXTS and of LIKE_SECOND: how long they are, and which text is most like the question.
function shape(vectors, query) {
  const products = vectors.map((vector) => product(vector, query));
  return {
    sizes: vectors.map((vector) => vector.length),
    squares: [...vectors, query].map((vector) => Number(product(vector, vector).toFixed(4))),
    nearest: products.indexOf(Math.max(...products)),
  };
}

const paths = (...names) => names.map((name) => path.join(FOLDER, name));

async function outcome(step) {
  try {
    return await step();
  } catch (error) {
    const body = error.response ? JSON.stringify(error.response.data) : error.message;
    return { failed: `${error.name}: ${body}`.slice(0, 600) };
  }
}

// Runs the steps, or those that the command names after FOLDER, and prints what they return.
async function tell(...steps) {
  const wanted = process.argv.slice(3);
  const told = {};
  for (const step of steps) {
    if (!wanted.length || wanted.includes(step.name)) told[step.name] = await outcome(step);
  }
  console.log(JSON.stringify(told));
}

module.exports = { FACTS, QUESTION, ANSWER, TEXTS, LIKE_SECOND, shape, paths, tell };
