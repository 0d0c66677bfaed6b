"""An example of a plugin package: each module is found through the entry point that names this
package.
"""
