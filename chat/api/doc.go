// Package api is the local HTTP API of a node, both ends of it.
package api
