// Package data turns files of labelled reasoning trajectories into packed token batches.
//
// The way of a row: Read parses it into a Trajectory, Trajectory.Cut splits its thinking and response into steps,
// a Renderer lays the steps out as text with read-outs (an Example), and Pack lays Examples end to end into Batches
// whose weights make the loss the one the design defines. What is dropped on the way is counted, never silent.
//
// # Kinds of rows
//
// Read knows these kinds by the fields of a file's first row, in JSON lines and in parquet alike. Fields without a place of
// their own are kept in Meta, worked solutions (solution, ground_truth_solution, gold_solution) among them: Answer is set only
// where a column holds the answer itself. Problems are kept as they are given.
//
//	trajectory             problem, and thinking, response, steps or response_steps: this project's own form
//	OpenThoughts metadata  problem, deepseek_reasoning, deepseek_solution
//	messages               messages, conversations or conversation of a user and an assistant, perhaps behind a system's turn (kept in
//	                       Meta): OpenAI's form, ShareGPT, OpenThoughts default, what prm select --to chat writes. Thinking stands in
//	                       reasoning_content, reasoning, thinking or parts of the content, or between marks, which are cut (CutThinking)
//	OpenR1-Math            problem, generations: a trajectory each, ids ending in /0, /1, ...; their correctness is kept in Meta, never
//	                       a label
//	s1K                    question, thinking_trajectories, attempt: also data_ablation_full59K; several thinking trajectories are steps
//	s1K-1.1                question, gemini_... and deepseek_...: two trajectories a row, ids ending in /gemini and /deepseek
//	trace                  a question (question, problem, query, instruction, prompt or input) and what a model wrote (thinking, reasoning,
//	                       reasoning_content, chain_of_thought or cot; and response, completion, output, generation, generated_text,
//	                       solution, answer or content: the first that the file's first row has). Prompt and completion may be lists of
//	                       turns. Options become part of the problem, gold the answer; chunks with their Monte-Carlo accuracy
//	                       (Thought Anchors) become steps, each labelled with the next chunk's accuracy
//	PRM800K                question, label: the chosen path is one trajectory, each rejected completion another that ends with it
//	                       and has that one label; ratings 1, 0, -1 are the targets 1, 0.5, 0, none is no label
//	PRM800K step           instruction, responses, next_response, rating: the flat form; the last step alone is labelled
//	TRL stepwise           prompt, completions, labels: also Math-Shepherd as TRL publishes it
//	ProcessBench           problem, steps, label, final_answer_correct: 1 before the first wrong step, 0 at it, no label after it
//	PRMBench               modified_question, modified_process, error_steps: 0 at error steps, 1 elsewhere
//
// Thinking that was never closed is kept, without a response; Trajectory.Unclosed tells it, so that it can be counted.
package data
