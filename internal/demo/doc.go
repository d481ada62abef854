// Package demo is the whole of goprm in a few minutes on a CPU: it makes problems with thinking and exact rewards, trains
// a small model from scratch on steps and trajectories at once, judges it on problems that it has not seen, and picks the
// best of eight answers with it. It is what `prm demo` runs, and the project's learning test.
//
// A problem is a product and a chain of operations, written plainly or as a story; every number has one digit. A
// trajectory thinks in steps (it works on, looks a second time, tries another way and goes back) and responds. A step is
// worth 1 if it is right, 0.7 if it is right but leads nowhere, and 0 if it is wrong: if its result is wrong, if it
// begins at another value than the one that was reached, or if it says that value again and says another. A step that
// goes on rightly from a wrong value is right. The whole is worth the share of its steps that are not wrong.
//
// Trajectories come in families of one problem and one form. At every place of a family equally many are wrong, and all
// are equally long there: so a step's place, form and length tell nothing.
package demo
