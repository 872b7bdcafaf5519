"""Expressions: conditions, updates, projections and key conditions, from text to values.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""
