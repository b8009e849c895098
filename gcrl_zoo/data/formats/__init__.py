"""
Formats of datasets. :mod:`gcrl_zoo.data.open` chooses among them.

======================  ==========================================================================================
``own_file``            file of :meth:`TrajectoryStore.save`; read and written
``own_folder``          memory-mapped folder; written by ``own_folder_writer``
``minari``              Minari; with images imported by ``minari_import``, written by ``minari_writer``
``ogbench``, ``d4rl``   layouts of arrays in an ``npz`` or ``hdf5`` file
``containers``          what all files of arrays have in common
======================  ==========================================================================================
"""
