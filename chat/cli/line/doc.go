// Package line reads lines from a person at a terminal while other lines arrive: what is printed appears above the prompt, and
// what was typed stays as it is.
//
// Open takes over the terminal and Close gives it back; everything that the first switches on, the second switches off. On a
// terminal that cannot move its cursor (TERM=dumb) the editor just reads and prints.
//
// A paste is one line to the program, however many lines it has: the terminal marks where it begins and ends (bracketed paste),
// and its line breaks are shown as one sign each until Enter is pressed.
package line
