# node-gyp's way to build the addon. Sources and flags come from scripts/recipe.js, as for the other builders.
# This file stays in the repository: in a published package npm would build it at every install.
{
  'targets': [
    {
      'target_name': 'downhill',
      'sources': ['<!@(node scripts/recipe.js sources)'],
      'include_dirs': ['<!@(node scripts/recipe.js includes)'],
      'defines': ['<!@(node scripts/recipe.js defines)'],
      'cflags!': ['-fno-omit-frame-pointer'],
      'cflags_cc': ['<!@(node scripts/recipe.js cflags)'],
      'ldflags': ['<!@(node scripts/recipe.js ldflags)', '<!@(node scripts/recipe.js addonLdflags)'],
      'ldflags!': ['-rdynamic'],
      'libraries': ['<!@(node scripts/recipe.js libraries)'],
      'xcode_settings': {
        'OTHER_CPLUSPLUSFLAGS': ['<!@(node scripts/recipe.js cflags)'],
        'MACOSX_DEPLOYMENT_TARGET': '11.0',
      },
    },
  ],
}
