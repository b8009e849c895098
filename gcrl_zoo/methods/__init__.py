"""One folder per method. Folder name = RL Zoo name = YAML name = docs page; see CONTRIBUTING.md."""
