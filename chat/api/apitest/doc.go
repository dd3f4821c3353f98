// Package apitest holds what every api.Backend must do, as a suite of tests, and a small network in memory to try it on.
//
// TestBackend runs the suite on a World: three people whose nodes can be anything that is a Backend, such as messengers, or
// clients of messengers behind a socket. Whoever writes another Backend runs it; whoever changes the contract changes it here
// first.
//
// Town is for tests that need nodes which answer, and no cryptography, store or network: it keeps messages, delivers them, and
// wakes those who follow, and it obeys the suite like everybody else.
package apitest
