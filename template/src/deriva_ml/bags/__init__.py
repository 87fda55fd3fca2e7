"""What a bag does with its rows and files: tables, joins, features, folders, and training frameworks."""
