"""Checks of the project against independent references: gradients against finite differences."""
